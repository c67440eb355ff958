"""What priors of flows share."""

from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.bijections import (
    Bijection,
    Chain,
    Conditioner,
    Network,
    Repeat,
    Reverse,
)
from workshop.generative_models.core.distributions import StandardNormal, Transformed
from workshop.generative_models.models.vae.priors.base import Prior


class FlowPrior(Prior):
    """p(z) of z = f_T ∘ … ∘ f_1 (u), u ~ N(0, I), the order of entries reversed after each step.

    A subclass makes the weights of all networks, and of a network the step. The flow begins as the
    identity but for the order.

    Args:
        latent_dim: size of z.
        flows: T, the number of steps.
        hidden_dims: widths of the hidden layers of each network.
        rngs: for the initial weights.
    """

    def __init__(
        self,
        latent_dim: int,
        flows: int,
        hidden_dims: Sequence[int],
        *,
        rngs: nnx.Rngs | None,
    ):
        if rngs is None:
            raise ValueError(f"{type(self).__name__}(rngs=None): pass rngs for the initial weights")
        self.latent_dim = latent_dim
        hidden_dims = checks.shape("hidden_dims", hidden_dims)
        self.weights = self._weights(checks.positive_int("flows", flows), hidden_dims, rngs)

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> Transformed:  # noqa: ARG002
        """Return the distribution of z."""
        step = Chain((self._step(self.weights.networks()), Reverse()))
        return Transformed(StandardNormal(self.latent_dim), Repeat(step))

    def _weights(self, flows: int, hidden_dims: tuple[int, ...], rngs: nnx.Rngs) -> Conditioner:
        """Return the weights of the networks of all steps."""
        raise NotImplementedError

    def _step(self, network: Network) -> Bijection:
        """Return the bijection of a network."""
        raise NotImplementedError
