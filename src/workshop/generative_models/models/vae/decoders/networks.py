"""The decoders, and their construction from configurations."""

import jax
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import (
    DecoderConfig,
    ModelConfiguration,
    NetworkType,
)
from workshop.generative_models.core.layers import CNN, MLP, Conv, ResNet, halvings
from workshop.generative_models.models.vae.decoders.base import Decoder
from workshop.generative_models.models.vae.decoders.conditional import ConditionalDecoder


class MLPDecoder(Decoder):
    """Fully-connected decoder.

    Attributes:
        output_size: numbers in one example.
        backbone: the hidden layers.
        output_layer: the last layer.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from workshop.generative_models.models.vae.decoders import MLPDecoder
        >>> decoder = MLPDecoder([128, 256, 512], (784,), 32, "relu", rngs=nnx.Rngs(0))
        >>> decoder(jnp.ones((8, 32))).shape
        (8, 784)
    """

    def _build_layers(self, rngs: nnx.Rngs) -> None:
        sizes = (self.hidden_dims, self.hidden_activation, self.latent_dim)
        self.backbone = MLP(*sizes, rngs=rngs, **self._numerics)

    def _build_output(self, rngs: nnx.Rngs) -> None:
        size = self.output_size * self.parameters_per_value
        self.output_layer = nnx.Linear(self.hidden_dims[-1], size, rngs=rngs, **self._numerics)

    def _output_bias(self) -> nnx.Param | None:
        return self.output_layer.bias

    def _decode(self, z: jax.Array) -> jax.Array:
        return self.output_layer(self.backbone(z))


class CNNDecoder(Decoder):
    """Transposed convolutions, each doubling the image: 1 to 3, 7, 14, 28.

    Attributes:
        project: the layer from z to the first map.
        cnn: the transposed convolutions.
        output_conv: the last convolution.
        initial_h: height of the first map, max(height // 2ⁿ, 1) for n layers.
        initial_w: width of the first map.
        initial_features: channels of the first map.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from workshop.generative_models.models.vae.decoders import CNNDecoder
        >>> decoder = CNNDecoder([64, 32], (28, 28, 1), 16, "relu", rngs=nnx.Rngs(0))
        >>> decoder(jnp.ones((8, 16))).shape, (decoder.initial_h, decoder.initial_w)
        ((8, 28, 28, 1), (7, 7))
    """

    takes_maps = True
    network: type[CNN] = CNN

    def _build_layers(self, rngs: nnx.Rngs) -> None:
        height, width, _ = self.output_shape
        stages = len(self.hidden_dims)
        sizes = tuple(zip(halvings(height, stages), halvings(width, stages), strict=True))
        self.sizes = sizes[-2::-1]
        self.initial_h, self.initial_w = sizes[-1]
        self.initial_features = self.hidden_dims[0]
        self._build_projection(rngs)
        sizes = (self.hidden_dims, self.hidden_activation, self.initial_features)
        self.cnn = self.network(*sizes, use_transpose=True, rngs=rngs, **self._numerics)

    def _build_output(self, rngs: nnx.Rngs) -> None:
        sizes = (self.hidden_dims[-1], self.output_shape[-1] * self.parameters_per_value)
        self.output_conv = Conv(*sizes, (3, 3), rngs=rngs, **self._numerics)

    def _build_projection(self, rngs: nnx.Rngs) -> None:
        pixels = 1 if self.spatial else self.initial_h * self.initial_w
        size = pixels * self.initial_features
        self.project = nnx.Linear(self.latent_dim, size, rngs=rngs, **self._numerics)

    def as_map(self, channels: int, rngs: nnx.Rngs) -> "CNNDecoder":
        """Return a copy that reads maps (batch, initial_h, initial_w, channels)."""
        decoder = nnx.clone(self)
        decoder.spatial, decoder.latent_dim = True, channels
        decoder._build_projection(rngs)
        return decoder

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latents of one example: a vector, or a map when spatial."""
        if self.spatial:
            return (self.initial_h, self.initial_w, self.latent_dim)
        return (self.latent_dim,)

    def _output_bias(self) -> nnx.Param | None:
        return self.output_conv.bias

    def _decode(self, z: jax.Array) -> jax.Array:
        first = (z.shape[0], self.initial_h, self.initial_w, self.initial_features)
        return self.output_conv(self.cnn(self.project(z).reshape(first), self.sizes))


class ResNetDecoder(CNNDecoder):
    """Residual blocks with group normalisation, each doubling the image."""

    network = ResNet


_DECODERS = {"dense": MLPDecoder, "cnn": CNNDecoder, "resnet": ResNetDecoder}


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
