"""The scalar equation that inverts planar and Sylvester flows."""

import jax
import jax.numpy as jnp

_STEPS = 40
"""Halvings, more than a float32 has digits."""


def tanh_root(a: jax.Array, slope: jax.Array, offset: jax.Array, c: jax.Array) -> jax.Array:
    """Return the root v of v + a tanh(slope · v + offset) = c, given a · slope > -1.

    The left side increases, and the root is within |a| of c: halve that interval. A Newton step
    from the root gives the gradient of the implicit function.
    """
    fixed = jax.lax.stop_gradient((a, slope, offset, c))

    def halve(_: jax.Array, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bounds
        a, slope, offset, c = fixed
        middle = 0.5 * (low + high)
        below = middle + a * jnp.tanh(slope * middle + offset) < c
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    start = fixed[3] - jnp.abs(fixed[0]), fixed[3] + jnp.abs(fixed[0])
    low, high = jax.lax.fori_loop(0, _STEPS, halve, start)
    v = jax.lax.stop_gradient(0.5 * (low + high))
    t = jnp.tanh(slope * v + offset)
    steep = jax.lax.stop_gradient(1 + a * slope * (1 - jnp.square(t)))
    return v - (v + a * t - c) / jnp.maximum(steep, jnp.finfo(steep.dtype).eps)
