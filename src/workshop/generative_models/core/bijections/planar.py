"""Planar flows."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections.base import (
    SCALAR,
    VECTOR,
    Bijection,
    Leaf,
)
from workshop.generative_models.core.bijections.tanh_root import tanh_root

_SMALLEST = 1e-12
"""|w|² below which the map tends to the identity, its limit at w = 0."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Planar(Bijection):
    """y = x + û tanh(wᵀx + b), with û = u + (m(wᵀu) - wᵀu) w / |w|² and m(t) = softplus(t) - 1.

    Then wᵀû = m(wᵀu) > -1, so that the map is invertible, and

        log |det| = log(1 + (1 - tanh²(wᵀx + b)) wᵀû).

    The inverse solves a scalar equation by halving intervals.

    Args:
        u: [*batch, event], unconstrained.
        w: [*batch, event].
        b: [*batch].

    References:
        Rezende & Mohamed, Variational Inference with Normalizing Flows, ICML 2015, equations 10 to
        12 and appendix A.1; `models/flows.py` of riannevdberg/sylvester-flows.
    """

    explicit_inverse: ClassVar[bool] = False

    u: Leaf = dataclasses.field(metadata=VECTOR)
    w: Leaf = dataclasses.field(metadata=VECTOR)
    b: Leaf = dataclasses.field(metadata=SCALAR)

    @property
    def event_size(self) -> int:
        """Size of x."""
        return self.w.shape[-1]

    def _direction(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return û, |w|² over its bounded value (1, but for w near 0), and softplus(wᵀu)."""
        square, product = self.w @ self.w, self.w @ self.u
        bounded = jnp.maximum(square, _SMALLEST)
        positive = jax.nn.softplus(product)
        share = square / bounded
        return (
            share * self.u + (positive - 1 - product) * self.w / bounded,
            share,
            positive,
        )

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        u, share, positive = self._direction()
        t = jnp.tanh(self.w @ x + self.b)
        # 1 + (1 - t²) wᵀû as a sum of positive terms: nothing cancels where wᵀû is near -1.
        steep = jnp.square(t) + (1 - jnp.square(t)) * (1 - share + share * positive)
        return x + u * t, jnp.log(jnp.maximum(steep, jnp.finfo(steep.dtype).tiny))

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        u, share, positive = self._direction()
        one, zero = jnp.ones((), y.dtype), jnp.zeros((), y.dtype)
        at = tanh_root(share * (positive - 1), one, zero, self.w @ y + self.b)
        x = y - u * jnp.tanh(at)
        return x, -self._forward(x)[1]
