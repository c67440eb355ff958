"""Posteriors q(z|x): the features of an encoder to a distribution."""

from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.posteriors.diagonal_normal import (
    DiagonalNormalPosterior,
)
from workshop.generative_models.models.vae.posteriors.point_mass import PointMassPosterior
from workshop.generative_models.models.vae.posteriors.power_spherical import (
    PowerSphericalPosterior,
)
from workshop.generative_models.models.vae.posteriors.von_mises_fisher import (
    VonMisesFisherPosterior,
)
from workshop.generative_models.models.vae.posteriors.wrapped_normal import (
    WrappedNormalPosterior,
)

POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal_normal": DiagonalNormalPosterior,
    "point_mass": PointMassPosterior,
    "von_mises_fisher": VonMisesFisherPosterior,
    "power_spherical": PowerSphericalPosterior,
    "wrapped_normal": WrappedNormalPosterior,
}
"""The posteriors by the `kind` of their configuration."""

__all__ = [
    "POSTERIORS",
    "DiagonalNormalPosterior",
    "PointMassPosterior",
    "Posterior",
    "PowerSphericalPosterior",
    "VonMisesFisherPosterior",
    "WrappedNormalPosterior",
]
