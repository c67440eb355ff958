"""Householder reflections."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections.base import MATRIX, Bijection, Leaf


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Householder(Bijection):
    """y = H_1 … H_n x with the reflections H_i = I - 2 v_i v_iᵀ / |v_i|², log |det| = 0.

    A reflection with v = 0 is the identity.

    Args:
        vectors: v, [*batch, reflections, event].

    References:
        Tomczak & Welling, Improving Variational Auto-Encoders using Householder Flow, 2016,
        equation 7; `models/vae_HF.py` of jmtomczak/vae_householder_flow. Schreiber & Van Loan, A
        Storage-Efficient WY Representation for Products of Householder Transformations, 1989.
    """

    orthogonal: ClassVar[bool] = True

    vectors: Leaf = dataclasses.field(metadata=MATRIX)

    @property
    def event_size(self) -> int:
        """Size of x."""
        return self.vectors.shape[-1]

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        if len(self.vectors) == 0:
            return x, jnp.zeros((), x.dtype)
        v, t = self._compact()
        return x - (t @ (v @ x)) @ v, jnp.zeros((), x.dtype)

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        if len(self.vectors) == 0:
            return y, jnp.zeros((), y.dtype)
        v, t = self._compact()
        return y - (t.T @ (v @ y)) @ v, jnp.zeros((), y.dtype)

    def _compact(self) -> tuple[jax.Array, jax.Array]:
        """Return unit vectors V and T, upper triangular, with H_1 … H_n = I - Vᵀ T V."""
        # The largest entry first: |v|² of small or large entries would leave the range of float32.
        largest = jax.lax.stop_gradient(jnp.abs(self.vectors).max(-1, keepdims=True))
        v = self.vectors / jnp.where(largest > 0, largest, 1.0)
        square = jnp.square(v).sum(-1, keepdims=True)
        v = v * jax.lax.rsqrt(jnp.where(square > 0, square, 1.0))
        # T⁻¹ = ½ I + triu(V Vᵀ, 1) by substitution: exported programs call no LAPACK.
        products, columns = v @ v.T, []
        for j, column in enumerate(jnp.eye(len(v), dtype=v.dtype)):
            if j > 0:
                column -= products[:j, j] @ jnp.concatenate(columns)
            columns.append(2 * column[None])
        return v, jnp.concatenate(columns).T
