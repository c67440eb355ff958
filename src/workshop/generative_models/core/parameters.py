"""Parameters that are not finite, by name."""

from typing import Any

import jax
import jax.numpy as jnp
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
