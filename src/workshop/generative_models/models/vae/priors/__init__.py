"""Priors p(z)."""

from workshop.generative_models.models.vae.priors.base import Prior
from workshop.generative_models.models.vae.priors.conditional import ConditionalPrior
from workshop.generative_models.models.vae.priors.mixture import MixturePrior
from workshop.generative_models.models.vae.priors.resampled import ResampledPrior
from workshop.generative_models.models.vae.priors.standard_normal import StandardNormalPrior
from workshop.generative_models.models.vae.priors.vamp import VampPrior

PRIORS: dict[str, type[Prior]] = {
    "standard_normal": StandardNormalPrior,
    "mixture": MixturePrior,
    "vamp": VampPrior,
    "resampled": ResampledPrior,
    "conditional": ConditionalPrior,
}
"""The priors by the `kind` of their configuration."""

__all__ = [
    "PRIORS",
    "ConditionalPrior",
    "MixturePrior",
    "Prior",
    "ResampledPrior",
    "StandardNormalPrior",
    "VampPrior",
]
