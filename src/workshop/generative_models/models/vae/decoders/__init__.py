"""Decoders: latents to the parameters of p(x|z), not yet squashed."""

from workshop.generative_models.models.vae.decoders.base import Decoder
from workshop.generative_models.models.vae.decoders.conditional import ConditionalDecoder
from workshop.generative_models.models.vae.decoders.networks import (
    CNNDecoder,
    MLPDecoder,
    ResNetDecoder,
    create_decoder,
    create_decoder_unified,
)

__all__ = [
    "CNNDecoder",
    "ConditionalDecoder",
    "Decoder",
    "MLPDecoder",
    "ResNetDecoder",
    "create_decoder",
    "create_decoder_unified",
]

# The public names of the classes, by which they are also pickled.
for _kind in (Decoder, MLPDecoder, CNNDecoder, ResNetDecoder, ConditionalDecoder):
    _kind.__module__ = __name__
