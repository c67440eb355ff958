"""Variables of a model: those that are not finite, by name, and arrays as bits to be written."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx


def named(state: nnx.State) -> dict[str, jax.Array]:
    """Return the arrays of a state by their dotted paths."""
    return {".".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(state)}


def not_finite_parameter(params: nnx.State) -> str | None:
    """Return the name of the first parameter with NaN or infinity; None if there is none."""
    arrays = named(params)
    flags = jax.device_get(_all_finite(arrays))
    return next((name for name in arrays if not flags[name]), None)


@jax.jit
def _all_finite(arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: jnp.all(jnp.isfinite(array)) for name, array in arrays.items()}


def refuse_not_finite(model: Any) -> None:
    """Refuse to measure a model whose parameters or moving statistics are not finite.

    Estimates are never NaN for finite data, so their values would not show it.
    """
    name = not_finite_parameter(nnx.state(model, nnx.Any(nnx.Param, nnx.BatchStat)))
    if name is not None:
        raise ValueError(
            f"model: {name} holds NaN or infinity, so that no estimate has a meaning: load weights "
            "from before that, or train anew with a lower learning rate"
        )


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
