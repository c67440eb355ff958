"""Monotone rational-quadratic splines."""

import dataclasses
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections.base import (
    MATRIX,
    STATIC,
    Bijection,
    Leaf,
)

_LEAST = 1e-3
"""Least width and height of a bin, as a share of the interval, and least slope at a knot."""


class _Bin(NamedTuple):
    """The bin of each entry: its corner, size, mean slope, and the slopes at both knots."""

    x: jax.Array
    y: jax.Array
    width: jax.Array
    height: jax.Array
    slope: jax.Array
    left: jax.Array
    right: jax.Array

    @property
    def bend(self) -> jax.Array:
        """What the slopes at the knots differ from the mean slope by, together."""
        return self.left + self.right - 2 * self.slope


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class RationalQuadraticSpline(Bijection):
    """A monotone spline of each entry on [-B, B], and the identity beyond.

    With ξ the place of x in its bin, s the bin's mean slope and d, d' the slopes at its knots,

        y = y_k + height (s ξ² + d ξ(1 - ξ)) / (s + (d + d' - 2s) ξ(1 - ξ)).

    Zeros are the identity. The inverse solves a quadratic equation.

    Args:
        widths: of the bins, [*batch, event, bins], unconstrained.
        heights: likewise.
        slopes: at the inner knots, [*batch, event, bins - 1], unconstrained; 1 at -B and B.
        bound: B.

    References:
        Durkan et al., Neural Spline Flows, NeurIPS 2019, equations 4 to 8;
        `rational_quadratic.py` of bayesiains/nflows.
    """

    widths: Leaf = dataclasses.field(metadata=MATRIX)
    heights: Leaf = dataclasses.field(metadata=MATRIX)
    slopes: Leaf = dataclasses.field(metadata=MATRIX)
    bound: float = dataclasses.field(metadata=STATIC)

    @property
    def event_size(self) -> int:
        """Size of x."""
        return self.widths.shape[-2]

    def _knots(self, raw: jax.Array) -> jax.Array:
        """Return the knots (event, bins + 1) from -B to B."""
        bins = raw.shape[-1]
        shares = _LEAST + (1 - _LEAST * bins) * jax.nn.softmax(raw)
        inner = self.bound * (2 * jnp.cumsum(shares, axis=-1)[:, :-1] - 1)
        return jnp.pad(inner, ((0, 0), (1, 1)), constant_values=(-self.bound, self.bound))

    def _bins(self, values: jax.Array, *, of_y: bool) -> _Bin:
        x, y = self._knots(self.widths), self._knots(self.heights)
        # softplus(0 + shift) is 1 - least: zeros are slopes of 1.
        shift = math.log(math.expm1(1 - _LEAST))
        slopes = _LEAST + jax.nn.softplus(self.slopes + shift)
        slopes = jnp.pad(slopes, ((0, 0), (1, 1)), constant_values=1.0)
        knots = y if of_y else x
        k = (values[:, None] >= knots[:, 1:-1]).sum(-1, keepdims=True)

        def at(array: jax.Array, index: jax.Array) -> jax.Array:
            return jnp.take_along_axis(array, index, -1)[:, 0]

        width, height = at(x, k + 1) - at(x, k), at(y, k + 1) - at(y, k)
        ends = at(slopes, k), at(slopes, k + 1)
        return _Bin(at(x, k), at(y, k), width, height, height / width, *ends)

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        inside = jnp.abs(x) < self.bound
        b = self._bins(jnp.where(inside, x, 0.0), of_y=False)
        place = jnp.where(inside, (x - b.x) / b.width, 0.0)
        y, log_slope = _within(b, place)
        return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0.0).sum()

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        inside = jnp.abs(y) < self.bound
        b = self._bins(jnp.where(inside, y, 0.0), of_y=True)
        up = jnp.where(inside, y - b.y, 0.0)
        first = b.height * (b.slope - b.left) + up * b.bend
        second = b.height * b.left - up * b.bend
        # Not negative but for rounding: the map increases.
        root = jnp.sqrt(jnp.maximum(jnp.square(second) + 4 * first * b.slope * up, _SMALLEST))
        place = jnp.clip(2 * b.slope * up / (second + root), 0.0, 1.0)
        _, log_slope = _within(b, place)
        return (
            jnp.where(inside, b.x + place * b.width, y),
            -jnp.where(inside, log_slope, 0.0).sum(),
        )


_SMALLEST = 1e-20
"""Least square under the root, where its gradient is finite."""


def _within(b: _Bin, place: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return y at a relative position in the bin, in [0, 1], and the logarithm of the slope."""
    rest = 1 - place
    both = place * rest
    below = b.slope + b.bend * both
    y = b.y + b.height * (b.slope * jnp.square(place) + b.left * both) / below
    along = b.right * jnp.square(place) + 2 * b.slope * both + b.left * jnp.square(rest)
    return y, 2 * jnp.log(b.slope) + jnp.log(along) - 2 * jnp.log(below)


def _spline(raw: jax.Array, bound: float) -> RationalQuadraticSpline:
    bins = (raw.shape[-1] + 1) // 3
    widths, heights, slopes = jnp.split(raw, [bins, 2 * bins], -1)
    return RationalQuadraticSpline(widths, heights, slopes, bound)


@functools.cache
def spline(bound: float) -> functools.partial:
    """Return the map from a network's output, (event, 3 * bins - 1), to splines on ±bound.

    Equal bounds give the same function, which is a part of the structure of a flow.
    """
    return functools.partial(_spline, bound=bound)
