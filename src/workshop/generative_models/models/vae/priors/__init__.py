"""Priors p(z)."""

from workshop.generative_models.models.vae.priors.base import Prior
from workshop.generative_models.models.vae.priors.conditional import ConditionalPrior
from workshop.generative_models.models.vae.priors.coupling import CouplingPrior
from workshop.generative_models.models.vae.priors.maf import MAFPrior
from workshop.generative_models.models.vae.priors.mixture import MixturePrior
from workshop.generative_models.models.vae.priors.resampled import ResampledPrior
from workshop.generative_models.models.vae.priors.spline import SplinePrior
from workshop.generative_models.models.vae.priors.standard_normal import StandardNormalPrior
from workshop.generative_models.models.vae.priors.uniform_sphere import UniformSpherePrior
from workshop.generative_models.models.vae.priors.vamp import VampPrior
from workshop.generative_models.models.vae.priors.wrapped_normal import WrappedNormalPrior

PRIORS: dict[str, type[Prior]] = {
    "standard_normal": StandardNormalPrior,
    "mixture": MixturePrior,
    "coupling": CouplingPrior,
    "maf": MAFPrior,
    "spline": SplinePrior,
    "uniform_sphere": UniformSpherePrior,
    "wrapped_normal": WrappedNormalPrior,
    "vamp": VampPrior,
    "resampled": ResampledPrior,
    "conditional": ConditionalPrior,
}
"""The priors by the `kind` of their configuration."""
USUAL_PRIORS: dict[str, type[Prior]] = {
    "real": StandardNormalPrior,
    "sphere": UniformSpherePrior,
    "ball": WrappedNormalPrior,
}
"""The priors of models that are given none, by the support of their posterior."""

__all__ = [
    "PRIORS",
    "USUAL_PRIORS",
    "ConditionalPrior",
    "CouplingPrior",
    "MAFPrior",
    "MixturePrior",
    "Prior",
    "ResampledPrior",
    "SplinePrior",
    "StandardNormalPrior",
    "UniformSpherePrior",
    "VampPrior",
    "WrappedNormalPrior",
]
