"""Objectives: the terms of the bound to the loss that training minimises."""

from workshop.generative_models.models.vae.inference import BoundTerms, Inference, LossContext
from workshop.generative_models.models.vae.objectives.adversarial import Adversarial
from workshop.generative_models.models.vae.objectives.base import Objective
from workshop.generative_models.models.vae.objectives.beta_tc import BetaTC
from workshop.generative_models.models.vae.objectives.capacity import Capacity
from workshop.generative_models.models.vae.objectives.ciwae import CIWAE
from workshop.generative_models.models.vae.objectives.codes import CodeObjective
from workshop.generative_models.models.vae.objectives.control import ControlVAE
from workshop.generative_models.models.vae.objectives.dip import DIPI, DIPII
from workshop.generative_models.models.vae.objectives.discrepancy import squared_mmd
from workshop.generative_models.models.vae.objectives.dreg import DReG
from workshop.generative_models.models.vae.objectives.elbo import ELBO
from workshop.generative_models.models.vae.objectives.factor import Factor
from workshop.generative_models.models.vae.objectives.iwae import IWAE
from workshop.generative_models.models.vae.objectives.miwae import MIWAE
from workshop.generative_models.models.vae.objectives.mmd import WAEMMD, InfoVAE
from workshop.generative_models.models.vae.objectives.ms_ssim import MSSSIM
from workshop.generative_models.models.vae.objectives.mu_forcing import MuForcing
from workshop.generative_models.models.vae.objectives.perceptual import Perceptual
from workshop.generative_models.models.vae.objectives.piwae import PIWAE
from workshop.generative_models.models.vae.objectives.reconstruction import Reconstruction
from workshop.generative_models.models.vae.objectives.regularized import Regularized
from workshop.generative_models.models.vae.objectives.renyi import Renyi
from workshop.generative_models.models.vae.objectives.sticking_the_landing import (
    StickingTheLanding,
)
from workshop.generative_models.models.vae.objectives.vae_gan import VAEGAN

OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "capacity": Capacity,
    "reconstruction": Reconstruction,
    "tc": BetaTC,
    "dip_i": DIPI,
    "dip_ii": DIPII,
    "wae_mmd": WAEMMD,
    "info_vae_mmd": InfoVAE,
    "control": ControlVAE,
    "mu_forcing": MuForcing,
    "factor": Factor,
    "adversarial": Adversarial,
    "vae_gan": VAEGAN,
    "rae": Regularized,
    "ms_ssim": MSSSIM,
    "perceptual": Perceptual,
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
    "DIPI",
    "DIPII",
    "ELBO",
    "IWAE",
    "MIWAE",
    "MSSSIM",
    "OBJECTIVES",
    "PIWAE",
    "VAEGAN",
    "WAEMMD",
    "Adversarial",
    "BetaTC",
    "BoundTerms",
    "Capacity",
    "CodeObjective",
    "ControlVAE",
    "DReG",
    "Factor",
    "Inference",
    "InfoVAE",
    "LossContext",
    "MuForcing",
    "Objective",
    "Perceptual",
    "Reconstruction",
    "Regularized",
    "Renyi",
    "StickingTheLanding",
    "squared_mmd",
]
