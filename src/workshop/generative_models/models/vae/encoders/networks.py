"""The encoders, and their construction from configurations."""

from math import prod

import jax
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import (
    EncoderConfig,
    ModelConfiguration,
    NetworkType,
)
from workshop.generative_models.core.layers import CNN, MLP, ResNet, halvings
from workshop.generative_models.models.vae.encoders.base import Encoder
from workshop.generative_models.models.vae.encoders.conditional import ConditionalEncoder


class MLPEncoder(Encoder):
    """Fully-connected encoder; an image is flattened.

    Attributes:
        backbone: the hidden layers.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from workshop.generative_models.models.vae.encoders import MLPEncoder
        >>> encoder = MLPEncoder([512, 256, 128], 32, "relu", (784,), rngs=nnx.Rngs(0))
        >>> mean, log_var = encoder(jnp.ones((8, 784)))
        >>> mean.shape, log_var.shape
        ((8, 32), (8, 32))
    """

    backbone: MLP

    def _build_backbone(self, rngs: nnx.Rngs) -> tuple[nnx.Module, tuple[int, ...]]:
        assert self.input_dim is not None
        size = prod(self.input_dim)
        backbone = MLP(self.hidden_dims, self.activation, size, rngs=rngs, **self._numerics)
        return backbone, (self.hidden_dims[-1],)

    def _as_input(self, x: jax.Array) -> jax.Array:
        size = prod(self.input_dim or ())
        if prod(x.shape[1:]) != size:
            super()._as_input(x)
        return self.flatten(x)


class CNNEncoder(Encoder):
    """Convolutions with stride 2, each halving the image: 28 to 14, 7, 3, 1.

    Attributes:
        cnn: the convolutions.
        flatten: what makes a vector of the last map; unused with pooling "mean".

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from workshop.generative_models.models.vae.encoders import CNNEncoder
        >>> encoder = CNNEncoder([32, 64], 16, "relu", (28, 28, 1), rngs=nnx.Rngs(0))
        >>> mean, log_var = encoder(jnp.ones((8, 28, 28, 1)))
        >>> mean.shape, encoder.sizes
        ((8, 16), ((28, 28), (14, 14), (7, 7)))
    """

    takes_images = True
    network: type[CNN] = CNN
    backbone: CNN

    def _build_backbone(self, rngs: nnx.Rngs) -> tuple[nnx.Module, tuple[int, ...]]:
        assert self.input_dim is not None
        height, width, channels = self.input_dim
        stages = len(self.hidden_dims)
        self.sizes = tuple(zip(halvings(height, stages), halvings(width, stages), strict=True))
        layers = (self.hidden_dims, self.activation, channels)
        cnn = self.network(*layers, rngs=rngs, **self._numerics)
        return cnn, (*self.sizes[-1], self.hidden_dims[-1])

    @property
    def cnn(self) -> CNN:
        """The convolutions."""
        return self.backbone


class ResNetEncoder(CNNEncoder):
    """Residual blocks with group normalisation, each halving the image."""

    network = ResNet


_ENCODERS = {"dense": MLPEncoder, "cnn": CNNEncoder, "resnet": ResNetEncoder}


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
