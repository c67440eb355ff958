"""A Gaussian posterior that cannot equal the prior."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from scipy.special import lambertw

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import DiagonalNormal
from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.priors import StandardNormalPrior


class DeltaPosterior(Posterior):
    r"""q(z|x) = N(z; μ, diag σ²) with KL(q(z_j|x) ‖ N(0, 1)) >= δ for every latent and example.

    Of the encoder's features m and s,

        σ = σ_l + (σ_u - σ_l) / (1 + exp(-s)),  μ² = 2δ + 1 + log σ² - σ² + max(0, m),  μ > 0,

    with σ_l < 1 < σ_u the deviations of a centred Gaussian whose KL is δ. The KL is then
    δ + max(0, m) / 2. Where it is least, σ and μ can still follow x, so that latents carry
    information that costs nothing more. All means are positive: q(z) leaves a part of N(0, I)
    empty, and samples from the prior look worse than reconstructions.

    Args:
        rate: δ, in nats for each latent; at most 5.

    References:
        Razavi, van den Oord, Poole & Vinyals, Preventing Posterior Collapse with δ-VAEs, ICLR 2019,
        equation 4 (independent latents). Code: valdersoul/bn-vae, `DeltaGaussianLSTMEncoder`.
    """

    factorises: ClassVar[bool] = True
    needs_prior: ClassVar[type[Any] | None] = StandardNormalPrior

    def __init__(self, rate: float = 0.1):
        self.rate = checks.positive("rate", rate)
        if rate > 5:
            raise ValueError(f"rate={rate!r}: expected at most 5 nats for each latent")
        self.deviations = tuple(
            math.sqrt(-lambertw(-math.exp(-2 * rate - 1), branch).real) for branch in (0, -1)
        )
        """σ_l and σ_u, the roots of ½ (σ² - 1 - log σ²) = δ."""

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of m and s, under the names of what they become."""
        return {"mean": latent_dim, "log_var": latent_dim}

    def __call__(self, features: Mapping[str, jax.Array]) -> DiagonalNormal:
        """Return N(μ, diag σ²)."""
        low, high = self.deviations
        scale = low + (high - low) * jax.nn.sigmoid(features["log_var"])
        log_var = 2 * jnp.log(scale)
        least = 2 * self.rate + 1 + log_var - jnp.square(scale)
        square = least + jnp.maximum(features["mean"], 0.0)
        # The slope of a root is infinite at 0, where σ is at one of its limits.
        return DiagonalNormal(jnp.sqrt(jnp.maximum(square, 1e-6)), log_var)
