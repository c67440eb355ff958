"""Finite scalar quantization: every number of a vector is rounded by itself."""

from collections.abc import Sequence
from math import log2, prod

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.quantizers.base import Assignment, Quantizer

LEVELS = {
    4: (5, 3),
    6: (8, 8),
    8: (8, 6, 5),
    9: (8, 8, 8),
    10: (8, 5, 5, 5),
    11: (8, 8, 6, 5),
    12: (7, 5, 5, 5, 5),
    14: (8, 8, 8, 6, 5),
    16: (8, 8, 8, 5, 5, 5),
}
"""Levels by the bits of the codebook that they replace: Mentzer et al. 2023, table 1 and A.4.1."""


def levels_for(codebook_size: int) -> tuple[int, ...]:
    """Return the paper's levels whose number of codes is nearest to a size, in bits.

    Examples:
        >>> levels_for(1024), levels_for(500)
        ((8, 5, 5, 5), (8, 8, 8))
    """
    codebook_size = checks.positive_int("codebook_size", codebook_size)
    return min(LEVELS.values(), key=lambda levels: abs(log2(prod(levels)) - log2(codebook_size)))


class FSQ(Quantizer):
    r"""Finite scalar quantization: no codebook to learn, so none to collapse.

        z_q = round(f(z)) / ⌊L/2⌋,   f(z) = (L-1)(1+ε)/2 · tanh(z + s) - o

    for each number, with o = ½ and s = atanh(2o / ((L-1)(1+ε))) if its number of levels L is even,
    else 0. The index of a code is Σ_i d_i Π_{j<i} L_j, of its levels' digits d.

    Args:
        dim: size of the vectors; another one than the number of levels is projected.
        levels: L of each number, at least 3: the bound of two would hardly ever let go of one.
        rngs: for the projections, if there are any.

    References:
        Mentzer et al., Finite Scalar Quantization: VQ-VAE Made Simple, ICLR 2024.

    Examples:
        >>> quantizer = FSQ(3, (8, 6, 5))
        >>> z_q, indices, terms = quantizer.quantize(jnp.zeros((2, 3)))
        >>> quantizer.codebook_size, indices.tolist()
        (240, [124, 124])
    """

    def __init__(self, dim: int, levels: Sequence[int], *, rngs: nnx.Rngs | None = None):
        self.levels = checks.shape("levels", levels)
        if min(self.levels) < 3:
            raise ValueError(
                f"levels={self.levels}: expected at least one, each of 3 or more; for two levels "
                "take LFQ, the sign of each number"
            )
        if prod(self.levels) >= 2**31:
            raise ValueError(f"levels={self.levels} make {prod(self.levels):,} codes: too many")
        super().__init__(dim, len(self.levels), prod(self.levels), rngs=rngs)

    def assign(self, vectors: jax.Array, weights: jax.Array, key: jax.Array | None) -> Assignment:  # noqa: ARG002
        """Bound every number and round it."""
        sizes = np.asarray(self.levels, np.float32)
        half = (sizes - 1) * (1 + 1e-3) / 2
        offset = np.where(sizes % 2 == 0, np.float32(0.5), np.float32(0.0))
        bounded = jnp.tanh(vectors + np.arctanh(offset / half)) * half - offset
        width = self._width
        # Of a thousand levels and more (1 + ε) reaches over the last one.
        rounded = jnp.clip(jnp.round(bounded), -width, np.asarray(self.levels) - 1 - width)
        rounded = jax.lax.stop_gradient(rounded)
        digits = rounded.astype(jnp.int32) + width
        indices = jnp.sum(digits * self._basis, -1, keepdims=True)
        return Assignment((bounded / width)[:, None], (rounded / width)[:, None], indices, {}, {})

    def codes_of(self, indices: jax.Array) -> jax.Array:
        """Return the codes (n, len(levels)) of indices (n, 1)."""
        digits = jnp.maximum(indices, 0) // self._basis % np.asarray(self.levels, np.int32)
        return (digits - self._width) / self._width.astype(np.float32)

    @property
    def _width(self) -> np.ndarray:
        return np.asarray(self.levels, np.int32) // 2

    @property
    def _basis(self) -> np.ndarray:
        return np.cumprod((1, *self.levels[:-1])).astype(np.int32)
