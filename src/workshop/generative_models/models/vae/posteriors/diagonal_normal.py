"""The Gaussian posterior with a diagonal covariance."""

from collections.abc import Mapping
from typing import ClassVar

import jax

from workshop.generative_models.core.distributions import (
    DiagonalNormal,
)
from workshop.generative_models.models.vae.posteriors.base import Posterior


class DiagonalNormalPosterior(Posterior):
    """q(z|x) = N(z; μ(x), diag σ²(x)).

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014.
    """

    factorises: ClassVar[bool] = True

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ and log σ²."""
        return {"mean": latent_dim, "log_var": latent_dim}

    def __call__(self, features: Mapping[str, jax.Array]) -> DiagonalNormal:
        """Return N(μ, diag σ²)."""
        return DiagonalNormal(features["mean"], features["log_var"])
