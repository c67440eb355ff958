"""Convolutional decoders."""

from typing import Any

import jax
from flax import nnx

from workshop.generative_models.core.layers import (
    CNN,
    Conv,
    ResNet,
    halvings,
)
from workshop.generative_models.models.vae.decoders.base import Decoder


class CNNDecoder(Decoder):
    """Transposed convolutions, each doubling the image: 1 to 3, 7, 14, 28.

    Attributes:
        latent_dim: size of z.
        output_shape: shape of one example.
        project: the layer from z to the first map.
        cnn: the transposed convolutions.
        output_conv: the last convolution.
        activation: the function that makes a mean of the output.
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

    def _build_layers(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        height, width, _ = self.output_shape
        stages = len(self.hidden_dims)
        sizes = tuple(zip(halvings(height, stages), halvings(width, stages), strict=True))
        self.sizes = sizes[-2::-1]
        self.initial_h, self.initial_w = sizes[-1]
        self.initial_features = self.hidden_dims[0]
        self._build_projection(rngs)
        self.cnn = self.network(
            self.hidden_dims,
            self.hidden_activation,
            self.initial_features,
            use_transpose=True,
            rngs=rngs,
            **numerics,
        )
        self._build_output(rngs, numerics)

    def _build_output(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        channels = self.output_shape[-1] * self.parameters_per_value
        self.output_conv = Conv(self.hidden_dims[-1], channels, (3, 3), rngs=rngs, **numerics)

    def _build_projection(self, rngs: nnx.Rngs) -> None:
        pixels = 1 if self.spatial else self.initial_h * self.initial_w
        self.project = nnx.Linear(
            self.latent_dim,
            pixels * self.initial_features,
            rngs=rngs,
            dtype=self.dtype,
            precision=self.precision,  # type: ignore[arg-type]
        )

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
