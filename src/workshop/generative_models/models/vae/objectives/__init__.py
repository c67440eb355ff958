"""Objectives: the terms of the bound to the loss that training minimises."""

from workshop.generative_models.models.vae.inference import BoundTerms, Inference, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective
from workshop.generative_models.models.vae.objectives.capacity import Capacity
from workshop.generative_models.models.vae.objectives.codes import CodeObjective
from workshop.generative_models.models.vae.objectives.elbo import ELBO
from workshop.generative_models.models.vae.objectives.reconstruction import Reconstruction

OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "capacity": Capacity,
    "reconstruction": Reconstruction,
}
"""The objectives by the `kind` of their configuration."""

__all__ = [
    "ELBO",
    "OBJECTIVES",
    "BoundTerms",
    "Capacity",
    "CodeObjective",
    "Inference",
    "LossContext",
    "Objective",
    "Reconstruction",
]
