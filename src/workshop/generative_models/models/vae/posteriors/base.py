"""The base class of all posteriors."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
from flax import nnx

from workshop.generative_models.core.distributions import (
    Distribution,
)
from workshop.generative_models.core.pickling import Picklable


class Posterior(Picklable, nnx.Module):
    """q(z|x) of one family, given the features that an encoder computes.

    Attributes:
        has_density: whether q(z|x) has a density; without one there is no bound on log p(x).
        has_log_prob: whether log q(z|x) can be computed of any z, and not of its own samples alone.
        has_weights: whether q(z|x) holds weights beside the encoder's features.
        reads_joint: whether samples follow the gradient of log p(x, z); `__call__` then takes that
            function of z, (..., batch, latent_dim) -> (..., batch), as its second argument.
        support: the space of z: "real", "sphere" or "ball"; the prior must have the same.
        factorises: whether latents are independent given x, so that each has a density
            (`log_prob_each`) and a variance of its own.
        needs_prior: the only class of priors that it is made for; None is any.
    """

    has_density: ClassVar[bool] = True
    has_log_prob: ClassVar[bool] = True
    has_weights: ClassVar[bool] = False
    reads_joint: ClassVar[bool] = False
    support: ClassVar[str] = "real"
    factorises: ClassVar[bool] = False
    needs_prior: ClassVar[type[Any] | None] = None

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the names and sizes of the features of q(z|x), one of which is "mean".

        An encoder of this package gets an output layer for each; an encoder of your own returns
        them in a dict.
        """
        raise NotImplementedError

    def __call__(self, features: Mapping[str, jax.Array]) -> Distribution:
        """Return q(z|x), given its features by name, each (batch, size)."""
        raise NotImplementedError
