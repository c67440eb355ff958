"""A mixture of Gaussians as the prior."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import (
    MixtureOfDiagonalNormals,
)
from workshop.generative_models.models.vae.priors.base import Prior


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
