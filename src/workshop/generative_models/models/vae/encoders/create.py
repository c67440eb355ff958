"""Encoders from configurations."""

from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import (
    EncoderConfig,
    ModelConfiguration,
    NetworkType,
)
from workshop.generative_models.models.vae.encoders.base import Encoder
from workshop.generative_models.models.vae.encoders.cnn import CNNEncoder, ResNetEncoder
from workshop.generative_models.models.vae.encoders.conditional import ConditionalEncoder
from workshop.generative_models.models.vae.encoders.mlp import MLPEncoder

_ENCODERS: dict[str, type[Encoder]] = {
    "dense": MLPEncoder,
    "cnn": CNNEncoder,
    "resnet": ResNetEncoder,
}


def create_encoder(
    config: EncoderConfig,
    encoder_type: NetworkType | str = "dense",
    *,
    conditional: bool = False,
    num_classes: int | None = None,
    embed_dim: int | None = None,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Build an encoder from its configuration.

    Args:
        config: the encoder's configuration.
        encoder_type: "dense", "cnn" or "resnet".
        conditional: wrap it in a `ConditionalEncoder`.
        num_classes: number of classes, needed when conditional.
        embed_dim: size of a learned embedding of the class, when conditional.
        rngs: for the initial weights.
    """
    network = _ENCODERS[checks.one_of("encoder_type", encoder_type, _ENCODERS)]
    encoder = network(config, rngs=rngs)
    if not conditional:
        checks.no_condition(num_classes, embed_dim)
        return encoder
    return ConditionalEncoder(encoder, num_classes, embed_dim, rngs=rngs)  # type: ignore[arg-type]


def create_encoder_unified(
    *,
    config: ModelConfiguration,
    encoder_type: str,
    conditional: bool = False,
    num_classes: int | None = None,
    embed_dim: int | None = None,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Build the encoder of one flat model configuration; the arguments are `create_encoder`'s."""
    return create_encoder(
        config.encoder(),
        encoder_type,
        conditional=conditional,
        num_classes=num_classes,
        embed_dim=embed_dim,
        rngs=rngs,
    )
