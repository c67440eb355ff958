"""Priors p(z)."""

from workshop.generative_models.models.vae.priors.base import Prior
from workshop.generative_models.models.vae.priors.mixture import MixturePrior
from workshop.generative_models.models.vae.priors.standard_normal import StandardNormalPrior

PRIORS: dict[str, type[Prior]] = {
    "standard_normal": StandardNormalPrior,
    "mixture": MixturePrior,
}
"""The priors by the `kind` of their configuration."""

__all__ = ["PRIORS", "MixturePrior", "Prior", "StandardNormalPrior"]
