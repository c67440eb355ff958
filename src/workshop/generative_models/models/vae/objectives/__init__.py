"""Objectives: the terms of the bound to the loss that training minimises."""

from workshop.generative_models.models.vae.inference import BoundTerms, Inference, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective
from workshop.generative_models.models.vae.objectives.capacity import Capacity
from workshop.generative_models.models.vae.objectives.ciwae import CIWAE
from workshop.generative_models.models.vae.objectives.codes import CodeObjective
from workshop.generative_models.models.vae.objectives.dreg import DReG
from workshop.generative_models.models.vae.objectives.elbo import ELBO
from workshop.generative_models.models.vae.objectives.iwae import IWAE
from workshop.generative_models.models.vae.objectives.miwae import MIWAE
from workshop.generative_models.models.vae.objectives.piwae import PIWAE
from workshop.generative_models.models.vae.objectives.reconstruction import Reconstruction
from workshop.generative_models.models.vae.objectives.renyi import Renyi
from workshop.generative_models.models.vae.objectives.sticking_the_landing import (
    StickingTheLanding,
)

OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "capacity": Capacity,
    "reconstruction": Reconstruction,
    "iwae": IWAE,
    "miwae": MIWAE,
    "piwae": PIWAE,
    "ciwae": CIWAE,
    "dreg": DReG,
    "sticking_the_landing": StickingTheLanding,
    "renyi": Renyi,
}
"""The objectives by the `kind` of their configuration."""

__all__ = [
    "CIWAE",
    "ELBO",
    "IWAE",
    "MIWAE",
    "OBJECTIVES",
    "PIWAE",
    "BoundTerms",
    "Capacity",
    "CodeObjective",
    "DReG",
    "Inference",
    "LossContext",
    "Objective",
    "Reconstruction",
    "Renyi",
    "StickingTheLanding",
]
