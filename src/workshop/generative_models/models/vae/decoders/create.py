"""Decoders from configurations."""

from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import (
    DecoderConfig,
    ModelConfiguration,
    NetworkType,
)
from workshop.generative_models.models.vae.decoders.base import Decoder
from workshop.generative_models.models.vae.decoders.cnn import CNNDecoder, ResNetDecoder
from workshop.generative_models.models.vae.decoders.conditional import ConditionalDecoder
from workshop.generative_models.models.vae.decoders.mlp import MLPDecoder

_DECODERS: dict[str, type[Decoder]] = {
    "dense": MLPDecoder,
    "cnn": CNNDecoder,
    "resnet": ResNetDecoder,
}


def create_decoder(
    config: DecoderConfig,
    decoder_type: NetworkType | str = "dense",
    *,
    conditional: bool = False,
    num_classes: int | None = None,
    embed_dim: int | None = None,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Build a decoder from its configuration.

    Args:
        config: the decoder's configuration.
        decoder_type: "dense", "cnn" or "resnet".
        conditional: wrap it in a `ConditionalDecoder`.
        num_classes: number of classes, needed when conditional.
        embed_dim: size of a learned embedding of the class, when conditional.
        rngs: for the initial weights.
    """
    network = _DECODERS[checks.one_of("decoder_type", decoder_type, _DECODERS)]
    decoder = network(config, rngs=rngs)
    if not conditional:
        checks.no_condition(num_classes, embed_dim)
        return decoder
    return ConditionalDecoder(decoder, num_classes, embed_dim, rngs=rngs)  # type: ignore[arg-type]


def create_decoder_unified(
    *,
    config: ModelConfiguration,
    decoder_type: str,
    conditional: bool = False,
    num_classes: int | None = None,
    embed_dim: int | None = None,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Build the decoder of one flat model configuration; the arguments are `create_decoder`'s."""
    return create_decoder(
        config.decoder(),
        decoder_type,
        conditional=conditional,
        num_classes=num_classes,
        embed_dim=embed_dim,
        rngs=rngs,
    )
