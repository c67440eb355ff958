"""Sylvester flows."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections.base import (
    MATRIX,
    VECTOR,
    Bijection,
    Leaf,
)
from workshop.generative_models.core.bijections.householder import Householder
from workshop.generative_models.core.bijections.tanh_root import tanh_root


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Sylvester(Bijection):
    """y = x + Q R tanh(R̃ Qᵀx + b), with Q orthogonal and R, R̃ upper triangular.

    It is invertible if r_ii r̃_ii > -1 for all i, and with t = tanh(R̃ Qᵀx + b)

        log |det| = Σ_i log(1 + (1 - t_i²) r_ii r̃_ii).

    Q is a product of Householder reflections, the identity if there are none. The inverse solves a
    triangular system of scalar equations, from the last to the first.

    Args:
        outer: R, [*batch, event, event]; entries below the diagonal must be 0.
        inner: R̃, likewise.
        reflections: the vectors of the reflections, [*batch, reflections, event].
        bias: b, [*batch, event].

    References:
        van den Berg et al., Sylvester Normalizing Flows for Variational Inference, UAI 2018,
        equations 9 to 16; `models/flows.py` of riannevdberg/sylvester-flows.
    """

    explicit_inverse: ClassVar[bool] = False

    outer: Leaf = dataclasses.field(metadata=MATRIX)
    inner: Leaf = dataclasses.field(metadata=MATRIX)
    reflections: Leaf = dataclasses.field(metadata=MATRIX)
    bias: Leaf = dataclasses.field(metadata=VECTOR)

    @property
    def event_size(self) -> int:
        """Size of x."""
        return self.bias.shape[-1]

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        t = jnp.tanh(self.inner @ self._turned_back(x) + self.bias)
        steep = 1 + (1 - jnp.square(t)) * jnp.diag(self.outer) * jnp.diag(self.inner)
        return x + self._turned(self.outer @ t), jnp.log(steep).sum()

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        c = self._turned_back(y)

        def solve(carry: tuple[jax.Array, jax.Array], i: jax.Array) -> tuple[Any, None]:
            v, t = carry  # zero at i and before
            r, s = self.outer[i, i], self.inner[i, i]
            offset = self.inner[i] @ v + self.bias[i]
            root = tanh_root(r, s, offset, c[i] - self.outer[i] @ t)
            return (v.at[i].set(root), t.at[i].set(jnp.tanh(s * root + offset))), None

        order = jnp.arange(len(y))[::-1]
        (_, t), _ = jax.lax.scan(solve, (jnp.zeros_like(c), jnp.zeros_like(c)), order)
        x = y - self._turned(self.outer @ t)
        return x, -self._forward(x)[1]

    def _turned(self, x: jax.Array) -> jax.Array:
        """Return Q x."""
        return Householder(self.reflections)._forward(x)[0]

    def _turned_back(self, x: jax.Array) -> jax.Array:
        """Return Qᵀx."""
        return Householder(self.reflections)._inverse(x)[0]
