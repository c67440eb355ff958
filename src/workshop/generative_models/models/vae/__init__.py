"""Variational autoencoders."""

from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.models.registry import MODELS
from workshop.generative_models.models.vae.base import VAE
from workshop.generative_models.models.vae.beta_vae import BetaVAE, BetaVAEWithCapacity
from workshop.generative_models.models.vae.conditional import ConditionalVAE
from workshop.generative_models.models.vae.decoders import (
    CNNDecoder,
    ConditionalDecoder,
    MLPDecoder,
    ResNetDecoder,
    create_decoder,
    create_decoder_unified,
)
from workshop.generative_models.models.vae.encoders import (
    CNNEncoder,
    ConditionalEncoder,
    MLPEncoder,
    ResNetEncoder,
    create_encoder,
    create_encoder_unified,
)
from workshop.generative_models.models.vae.vq_vae import VQVAE

MODELS.update(
    {
        "vae": VAE,
        "beta-vae": BetaVAE,
        "beta-vae-capacity": BetaVAEWithCapacity,
        "conditional-vae": ConditionalVAE,
        "vq-vae": VQVAE,
    }
)

__all__ = [
    "MODELS",
    "VAE",
    "VQVAE",
    "BetaVAE",
    "BetaVAEWithCapacity",
    "CNNDecoder",
    "CNNEncoder",
    "ConditionalDecoder",
    "ConditionalEncoder",
    "ConditionalVAE",
    "GenerativeModel",
    "MLPDecoder",
    "MLPEncoder",
    "ResNetDecoder",
    "ResNetEncoder",
    "create_decoder",
    "create_decoder_unified",
    "create_encoder",
    "create_encoder_unified",
]
