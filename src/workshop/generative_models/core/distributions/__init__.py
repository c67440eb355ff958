"""Distributions over latents: sampling, densities and divergences, in nats."""

from workshop.generative_models.core.distributions.base import Distribution
from workshop.generative_models.core.distributions.divergence import kl, register_kl
from workshop.generative_models.core.distributions.normal import (
    DiagonalNormal,
    MixtureOfDiagonalNormals,
    StandardNormal,
)
from workshop.generative_models.core.distributions.point_mass import PointMass

__all__ = [
    "DiagonalNormal",
    "Distribution",
    "MixtureOfDiagonalNormals",
    "PointMass",
    "StandardNormal",
    "kl",
    "register_kl",
]
