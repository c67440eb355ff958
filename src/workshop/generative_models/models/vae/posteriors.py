"""Posteriors q(z|x): the features of an encoder to a distribution."""

from collections.abc import Mapping
from typing import ClassVar

import jax
from flax import nnx

from workshop.generative_models.core.distributions import DiagonalNormal, Distribution, PointMass
from workshop.generative_models.core.pickling import Picklable


class Posterior(Picklable, nnx.Module):
    """q(z|x) of one family, given the features that an encoder computes.

    Attributes:
        has_density: whether q(z|x) has a density; without one there is no bound on log p(x).
    """

    has_density: ClassVar[bool] = True

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the names and sizes of the features of q(z|x), one of which is "mean".

        An encoder of this package gets an output layer for each; an encoder of your own returns
        them in a dict.
        """
        raise NotImplementedError

    def __call__(self, features: Mapping[str, jax.Array]) -> Distribution:
        """Return q(z|x), given its features by name, each (batch, size)."""
        raise NotImplementedError


class DiagonalNormalPosterior(Posterior):
    """q(z|x) = N(z; μ(x), diag σ²(x)).

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014.
    """

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ and log σ²."""
        return {"mean": latent_dim, "log_var": latent_dim}

    def __call__(self, features: Mapping[str, jax.Array]) -> DiagonalNormal:
        """Return N(μ, diag σ²)."""
        return DiagonalNormal(features["mean"], features["log_var"])


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


POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal_normal": DiagonalNormalPosterior,
    "point_mass": PointMassPosterior,
}
"""The posteriors by the `kind` of their configuration."""
