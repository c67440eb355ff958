"""The prior of masked autoregressive flows."""

from collections.abc import Sequence

import jax
from flax import nnx

from workshop.generative_models.core.bijections import (
    MADE,
    Bijection,
    Invert,
    MaskedAutoregressive,
    Network,
    affine,
)
from workshop.generative_models.models.vae.priors.flow import FlowPrior


class MAFPrior(FlowPrior):
    """p(z) of T masked autoregressive steps, z_i = exp(α_i) u_i + μ_i with u ~ N(0, I).

    (α, μ)_i are functions of z_1, …, z_{i-1}, by a MADE. The density takes one pass of each MADE,
    a sample latent_dim passes.

    Args:
        latent_dim: size of z.
        flows: T, the number of steps.
        hidden_dims: widths of the hidden layers of each MADE.
        rngs: for the initial weights.

    References:
        Papamakarios, Pavlakou & Murray, Masked Autoregressive Flow for Density Estimation, NeurIPS
        2017, equations 3 to 5 (MAF (5), 100 units); `maf_model.py` of Pythae.
    """

    def __init__(
        self,
        latent_dim: int,
        flows: int = 5,
        hidden_dims: Sequence[int] = (100,),
        *,
        rngs: nnx.Rngs | None = None,
    ):
        super().__init__(latent_dim, flows, hidden_dims, rngs=rngs)

    def _weights(self, flows: int, hidden_dims: tuple[int, ...], rngs: nnx.Rngs) -> MADE:
        return MADE(flows, self.latent_dim, hidden_dims, 2, "relu", rngs=rngs)

    def _step(self, network: Network) -> Bijection:
        return Invert(MaskedAutoregressive(network, _to_noise))


def _to_noise(raw: jax.Array) -> Bijection:
    """Return z -> u = (z - μ) exp(-α)."""
    return Invert(affine(raw))
