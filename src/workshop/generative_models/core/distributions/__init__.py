"""Distributions over latents: sampling, densities and divergences, in nats."""

from workshop.generative_models.core.distributions.base import Distribution
from workshop.generative_models.core.distributions.diagonal_normal import DiagonalNormal
from workshop.generative_models.core.distributions.divergence import kl, register_kl
from workshop.generative_models.core.distributions.evolved import Evolved
from workshop.generative_models.core.distributions.mixture import MixtureOfDiagonalNormals
from workshop.generative_models.core.distributions.point_mass import PointMass
from workshop.generative_models.core.distributions.standard_normal import StandardNormal

__all__ = [
    "DiagonalNormal",
    "Distribution",
    "Evolved",
    "MixtureOfDiagonalNormals",
    "PointMass",
    "StandardNormal",
    "kl",
    "register_kl",
]
