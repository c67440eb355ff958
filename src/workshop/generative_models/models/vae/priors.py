"""Priors p(z)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import (
    Distribution,
    MixtureOfDiagonalNormals,
    StandardNormal,
)
from workshop.generative_models.core.pickling import Picklable


class Prior(Picklable, nnx.Module):
    """p(z) of one family; its parameters are trained, averaged and saved with the model's."""

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> Distribution:
        """Return p(z), or p(z|y) with a row for each example.

        Args:
            model: the model that this is the prior of, for priors that use its encoder.
            condition: what a conditional model reads besides the data, {"y": ...}; else empty.
        """
        raise NotImplementedError


class StandardNormalPrior(Prior):
    """p(z) = N(z; 0, I).

    Args:
        latent_dim: size of z.
        rngs: not used; priors with parameters are given it.
    """

    def __init__(self, latent_dim: int, *, rngs: Any = None):  # noqa: ARG002
        self.latent_dim = latent_dim

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> StandardNormal:  # noqa: ARG002
        """Return N(0, I)."""
        return StandardNormal(self.latent_dim)


class MixturePrior(Prior):
    r"""p(z) = Σ_k π_k N(z; μ_k, diag σ_k²), with π, μ and σ learned.

    The components begin with equal weights, unit variances and means drawn from N(0, I).

    Args:
        latent_dim: size of z.
        components: number of components.
        rngs: for the initial means.

    References:
        Tomczak & Welling, VAE with a VampPrior, AISTATS 2018 (the baseline "MoG").
    """

    def __init__(self, latent_dim: int, components: int = 100, *, rngs: nnx.Rngs | None = None):
        if rngs is None:
            raise ValueError("MixturePrior(rngs=None): pass rngs for the initial means")
        shape = (checks.positive_int("components", components), latent_dim)
        self.logits = nnx.Param(jnp.zeros(shape[0]))
        self.means = nnx.Param(jax.random.normal(rngs.params(), shape))
        self.log_vars = nnx.Param(jnp.zeros(shape))

    def __call__(
        self,
        model: Any,  # noqa: ARG002
        condition: Mapping[str, Any],  # noqa: ARG002
    ) -> MixtureOfDiagonalNormals:
        """Return the mixture."""
        return MixtureOfDiagonalNormals(self.logits[...], self.means[...], self.log_vars[...])


PRIORS: dict[str, type[Prior]] = {
    "standard_normal": StandardNormalPrior,
    "mixture": MixturePrior,
}
"""The priors by the `kind` of their configuration."""
