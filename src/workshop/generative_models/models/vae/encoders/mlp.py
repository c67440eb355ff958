"""Fully-connected encoder."""

from math import prod
from typing import Any

import jax
from flax import nnx

from workshop.generative_models.core.layers import MLP
from workshop.generative_models.models.vae.encoders.base import Encoder


class MLPEncoder(Encoder):
    """Fully-connected encoder; an image is flattened.

    Attributes:
        latent_dim: size of z.
        backbone: the hidden layers.
        mean_proj: the projection to μ.
        logvar_proj: the projection to log σ².

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

    def _build_backbone(
        self, rngs: nnx.Rngs, numerics: dict[str, Any]
    ) -> tuple[nnx.Module, tuple[int, ...]]:
        assert self.input_dim is not None
        size = prod(self.input_dim)
        backbone = MLP(self.hidden_dims, self.activation, size, rngs=rngs, **numerics)
        return backbone, (self.hidden_dims[-1],)

    def _as_input(self, x: jax.Array) -> jax.Array:
        size = prod(self.input_dim or ())
        if prod(x.shape[1:]) != size:
            super()._as_input(x)
        return self.flatten(x)
