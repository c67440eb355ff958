"""Masked autoregressive maps."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections.base import (
    STATIC,
    Bijection,
)
from workshop.generative_models.core.bijections.network import Network

Transformer = Callable[[jax.Array], Bijection]
"""A network's output, (event, numbers for each entry), to an elementwise bijection."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class MaskedAutoregressive(Bijection):
    """y_i = τ(x_i; θ_i(x_1, …, x_{i-1})), with all θ_i from one pass of a masked network.

    The inverse takes `event` passes, one for each entry.

    Args:
        network: x -> θ, of the weights of a `MADE`.
        transformer: θ -> τ.

    References:
        Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, NeurIPS
        2016; Papamakarios et al., Masked Autoregressive Flow for Density Estimation, NeurIPS 2017;
        `masked_autoregressive.py` of danielward27/flowjax.
    """

    explicit_inverse: ClassVar[bool] = False

    network: Network
    transformer: Transformer = dataclasses.field(metadata=STATIC)

    @property
    def event_size(self) -> int:
        """Size of x."""
        return self.network.kernels[0].shape[-2]

    def _given(self, x: jax.Array) -> Bijection:
        return self.transformer(self.network(x).reshape(len(x), -1))

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self._given(x)._forward(x)

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        def add(x: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
            # Later entries are still 0: what they would be could overflow.
            return jnp.where(jnp.arange(len(y)) == i, self._given(x)._inverse(y)[0], x), None

        x, _ = jax.lax.scan(add, jnp.zeros_like(y), jnp.arange(len(y)))
        return x, -self._forward(x)[1]
