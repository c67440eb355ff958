"""Fully-connected decoder."""

from typing import Any

import jax
from flax import nnx

from workshop.generative_models.core.layers import (
    MLP,
)
from workshop.generative_models.models.vae.decoders.base import Decoder


class MLPDecoder(Decoder):
    """Fully-connected decoder.

    Attributes:
        latent_dim: size of z.
        output_shape: shape of one example.
        output_size: numbers in one example.
        backbone: the hidden layers.
        output_layer: the last layer.
        activation: the function that makes a mean of the output.

    Examples:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> from workshop.generative_models.models.vae.decoders import MLPDecoder
        >>> decoder = MLPDecoder([128, 256, 512], (784,), 32, "relu", rngs=nnx.Rngs(0))
        >>> decoder(jnp.ones((8, 32))).shape
        (8, 784)
    """

    def _build_layers(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        self.backbone = MLP(
            self.hidden_dims, self.hidden_activation, self.latent_dim, rngs=rngs, **numerics
        )
        self._build_output(rngs, numerics)

    def _build_output(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        size = self.output_size * self.parameters_per_value
        self.output_layer = nnx.Linear(self.hidden_dims[-1], size, rngs=rngs, **numerics)

    def _output_bias(self) -> nnx.Param | None:
        return self.output_layer.bias

    def _decode(self, z: jax.Array) -> jax.Array:
        return self.output_layer(self.backbone(z))
