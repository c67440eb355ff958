"""Arrays as bits: sums that find a changed one, and what of a state can be written."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def raw(array: jax.Array) -> jax.Array:
    """Return an array that can be written: of a random key, its data."""
    is_key = jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(array) if is_key else array


def like_key(array: jax.Array, key: jax.Array) -> jax.Array:
    """Return what `raw` gave as a random key again, if `key` is one."""
    is_key = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(key)) if is_key else array


@jax.jit
def checksum(tree: Any) -> jax.Array:
    """Return a sum over all bits that any single changed one changes, however arrays are split."""
    total = jnp.zeros((), jnp.uint32)
    for array in jax.tree.leaves(tree):
        flags = array.dtype == jnp.bool_
        bits = jax.lax.bitcast_convert_type(
            array.astype(jnp.uint8) if flags else array,
            # Of eight bytes, two words.
            f"uint{8 * min(array.dtype.itemsize, 4)}",
        )
        places = jnp.arange(np.prod(bits.shape, dtype=int), dtype=jnp.uint32)
        weights = (2 * places + 1).reshape(bits.shape)
        total = total * jnp.uint32(31) + jnp.sum(bits.astype(jnp.uint32) * weights)
    return total
