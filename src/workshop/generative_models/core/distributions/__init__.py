"""Distributions over latents: sampling, densities and divergences, in nats."""

from workshop.generative_models.core.distributions.base import Distribution
from workshop.generative_models.core.distributions.diagonal_normal import DiagonalNormal
from workshop.generative_models.core.distributions.divergence import kl, register_kl
from workshop.generative_models.core.distributions.equal_mixture import EqualMixture
from workshop.generative_models.core.distributions.evolved import Evolved
from workshop.generative_models.core.distributions.full_normal import FullNormal
from workshop.generative_models.core.distributions.low_rank_normal import LowRankNormal
from workshop.generative_models.core.distributions.mixture import MixtureOfDiagonalNormals
from workshop.generative_models.core.distributions.point_mass import PointMass
from workshop.generative_models.core.distributions.power_spherical import PowerSpherical
from workshop.generative_models.core.distributions.resampled_normal import (
    NormaliserEstimate,
    ResampledNormal,
)
from workshop.generative_models.core.distributions.standard_normal import StandardNormal
from workshop.generative_models.core.distributions.transformed import Transformed
from workshop.generative_models.core.distributions.uniform_sphere import UniformSphere
from workshop.generative_models.core.distributions.von_mises_fisher import VonMisesFisher
from workshop.generative_models.core.distributions.wrapped_normal import WrappedNormal

__all__ = [
    "DiagonalNormal",
    "Distribution",
    "EqualMixture",
    "Evolved",
    "FullNormal",
    "LowRankNormal",
    "MixtureOfDiagonalNormals",
    "NormaliserEstimate",
    "PointMass",
    "PowerSpherical",
    "ResampledNormal",
    "StandardNormal",
    "Transformed",
    "UniformSphere",
    "VonMisesFisher",
    "WrappedNormal",
    "kl",
    "register_kl",
]
