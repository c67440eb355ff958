"""Geometry of the Poincaré ball: the open unit ball with curvature -1.

Tangent vectors are given in orthonormal coordinates of the metric, so that their lengths are
distances: the tangent vector v / λ of the ball's own coordinates, λ = 2 / (1 - |μ|²), is v here.
Parallel transport from the centre along a geodesic leaves these coordinates as they are.
"""

import jax
import jax.numpy as jnp

MOST = 1 - 1e-5
"""The largest length of a point, at distance 12.2 from the centre; float32 resolves it to 1%."""

_FAR = 1e3
"""Tangent vectors longer than this reach the edge like any other; distances beyond 17 all do."""


def _length(v: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return lengths [..., 1], and where they are 0; there they are 1, so that gradients exist."""
    square = jnp.square(v).sum(-1, keepdims=True)
    zero = square < 1e-30
    return jnp.sqrt(jnp.where(zero, 1.0, square)), zero


def in_ball(points: jax.Array) -> jax.Array:
    """Return points with those that are too far out moved inside, [..., d]."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(points), -1, keepdims=True))
    large = jnp.maximum(largest, 1.0)  # squares of large numbers overflow
    length = _length(points / large)[0] * large
    return points * jnp.minimum(1.0, MOST / length)


def gap(point: jax.Array) -> jax.Array:
    """Return 1 - |z|², [..., 1]."""
    length, zero = _length(point)
    length = jnp.where(zero, 0.0, length)
    return (1 - length) * (1 + length)


def exp_map(mean: jax.Array, v: jax.Array) -> jax.Array:
    """Return exp_μ(v): the point that a geodesic from μ in the direction v reaches, [..., d].

        exp_μ(v) = μ ⊕ tanh(|v| / 2) v / |v|

    References:
        Ganea, Bécigneul & Hofmann, Hyperbolic Neural Networks, NeurIPS 2018, lemma 2.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(v), -1, keepdims=True))
    v = v * jnp.minimum(1.0, _FAR / jnp.maximum(largest, 1.0))  # squares would overflow
    length, zero = _length(v)
    step = v * jnp.where(zero, 0.5, jnp.tanh(length / 2) / length)
    cross = 1 + 2 * (mean * step).sum(-1, keepdims=True)
    square, own = jnp.square(step).sum(-1, keepdims=True), jnp.square(mean).sum(-1, keepdims=True)
    found = ((cross + square) * mean + gap(mean) * step) / jnp.maximum(cross + own * square, 1e-12)
    return in_ball(found)


def log_map(mean: jax.Array, point: jax.Array) -> jax.Array:
    """Return log_μ(z): the tangent vector at μ whose exponential map is z, [..., d].

    Its length is the distance, in the form that is exact near the edge,

        d(μ, z) = 2 arsinh(|z - μ| / √((1 - |μ|²) (1 - |z|²))).
    """
    away = point - mean
    square = jnp.square(away).sum(-1, keepdims=True)
    direction = gap(mean) * away - square * mean  # -μ ⊕ z, up to a factor
    length, zero = _length(direction)
    apart, same = _length(away)
    distance = 2 * jnp.arcsinh(apart / jnp.sqrt(gap(mean) * gap(point)))
    # Near μ itself the metric is flat: v = λ (z - μ).
    return jnp.where(zero | same, 2 * away / gap(mean), distance * direction / length)


def log_sinh_ratio(r: jax.Array) -> jax.Array:
    """Return log(sinh(r) / r) of r >= 0, the logarithm of how much exp_μ spreads a direction."""
    small = r < 0.5
    x = jnp.where(small, 1.0, r)
    large = x + jnp.log1p(-jnp.exp(-2 * x)) - jnp.log(2 * x)
    square = jnp.square(jnp.where(small, r, 0.0))
    return jnp.where(small, square * (1 / 6 - square * (1 / 180 - square / 2835)), large)
