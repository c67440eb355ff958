"""The posterior of an autoencoder, without noise."""

from collections.abc import Mapping
from typing import ClassVar

import jax

from workshop.generative_models.core.distributions import (
    PointMass,
)
from workshop.generative_models.models.vae.posteriors.base import Posterior


class PointMassPosterior(Posterior):
    """z = μ(x), without noise: the encoder of an autoencoder.

    It has no density, so that there is no KL and no bound on log p(x): losses lack `kl_loss` and
    `elbo`, and evaluation refuses to estimate them. Use it with an objective that needs neither,
    such as `Reconstruction`.
    """

    has_density: ClassVar[bool] = False

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the size of μ."""
        return {"mean": latent_dim}

    def __call__(self, features: Mapping[str, jax.Array]) -> PointMass:
        """Return the point mass at μ."""
        return PointMass(features["mean"])
