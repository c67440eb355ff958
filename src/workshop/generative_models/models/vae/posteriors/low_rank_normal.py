"""The Gaussian posterior with a covariance of low rank beside a diagonal."""

from collections.abc import Mapping

import jax

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import LowRankNormal
from workshop.generative_models.models.vae.posteriors.base import Posterior


class LowRankNormalPosterior(Posterior):
    """q(z|x) = N(z; μ(x), diag σ²(x) + U(x) U(x)ᵀ), with U of few columns.

    The feature "log_var" is log σ². The KL to N(0, I) and to a diagonal Gaussian is exact.

    Args:
        rank: columns of U.

    References:
        Rezende, Mohamed & Wierstra, Stochastic Backpropagation, ICML 2014, section 4.3 (rank 1);
        `lowrank_multivariate_normal.py` of torch.distributions.
    """

    def __init__(self, rank: int = 1):
        self.rank = checks.positive_int("rank", rank)

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ, log σ² and U."""
        return {"mean": latent_dim, "log_var": latent_dim, "factor": latent_dim * self.rank}

    def __call__(self, features: Mapping[str, jax.Array]) -> LowRankNormal:
        """Return N(μ, diag σ² + U Uᵀ)."""
        mean = features["mean"]
        factor = features["factor"].reshape(*mean.shape, self.rank)
        return LowRankNormal(mean, features["log_var"], factor)
