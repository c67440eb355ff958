"""Coupling layers."""

import dataclasses

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections.autoregressive import Transformer
from workshop.generative_models.core.bijections.base import (
    STATIC,
    Bijection,
)
from workshop.generative_models.core.bijections.network import Network


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Coupling(Bijection):
    """y = (x_a, τ(x_b; θ(x_a))): the first half is kept and gives the map of the second.

    Of an odd number of entries the second half has one more; one entry has a map of its own.

    Args:
        network: x_a -> θ.
        transformer: θ -> τ, elementwise.

    References:
        Dinh, Sohl-Dickstein & Bengio, Density Estimation using Real NVP, ICLR 2017; `coupling.py`
        of bayesiains/nflows and of danielward27/flowjax.
    """

    network: Network
    transformer: Transformer = dataclasses.field(metadata=STATIC)

    def _parts(self, x: jax.Array) -> tuple[jax.Array, jax.Array, Bijection]:
        kept, rest = jnp.split(x, [len(x) // 2])
        return kept, rest, self.transformer(self.network(kept).reshape(len(rest), -1))

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        kept, rest, given = self._parts(x)
        moved, log_det = given._forward(rest)
        return jnp.concatenate([kept, moved]), log_det

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        kept, rest, given = self._parts(y)
        moved, log_det = given._inverse(rest)
        return jnp.concatenate([kept, moved]), log_det
