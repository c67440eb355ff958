"""Encoders: data to the mean and log-variance of q(z|x)."""

from workshop.generative_models.models.vae.encoders.base import Encoder
from workshop.generative_models.models.vae.encoders.conditional import ConditionalEncoder
from workshop.generative_models.models.vae.encoders.networks import (
    CNNEncoder,
    MLPEncoder,
    ResNetEncoder,
    create_encoder,
    create_encoder_unified,
)

__all__ = [
    "CNNEncoder",
    "ConditionalEncoder",
    "Encoder",
    "MLPEncoder",
    "ResNetEncoder",
    "create_encoder",
    "create_encoder_unified",
]

# The public names of the classes, by which they are also pickled.
for _kind in (Encoder, MLPEncoder, CNNEncoder, ResNetEncoder, ConditionalEncoder):
    _kind.__module__ = __name__
