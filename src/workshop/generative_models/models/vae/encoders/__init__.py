"""Encoders: data to the mean and log-variance of q(z|x)."""

from workshop.generative_models.models.vae.encoders.base import Encoder
from workshop.generative_models.models.vae.encoders.cnn import CNNEncoder, ResNetEncoder
from workshop.generative_models.models.vae.encoders.conditional import ConditionalEncoder
from workshop.generative_models.models.vae.encoders.create import (
    create_encoder,
    create_encoder_unified,
)
from workshop.generative_models.models.vae.encoders.fitting import fit_features
from workshop.generative_models.models.vae.encoders.mlp import MLPEncoder

__all__ = [
    "CNNEncoder",
    "ConditionalEncoder",
    "Encoder",
    "MLPEncoder",
    "ResNetEncoder",
    "create_encoder",
    "create_encoder_unified",
    "fit_features",
]

# The public names of the classes, by which they are also pickled.
for _kind in (Encoder, MLPEncoder, CNNEncoder, ResNetEncoder, ConditionalEncoder):
    _kind.__module__ = __name__
