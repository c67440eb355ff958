"""The one conversion of data, labels and codes, used wherever the library is given them."""

from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from workshop.generative_models.core.containers import to_array, to_label_array
from workshop.generative_models.core.numbers import (
    as_float32,
    as_int32,
    as_numbers,
    kind_of,
    not_numbers,
    refuse_inexact,
    require_finite,
    variable,
)

_TOP_LEVEL = jax.extend.core.get_opaque_trace_state(convention="nnx")


def is_concrete(x: Any) -> bool:
    """Say whether the values of `x` can be looked at: it is not traced by a transformation."""
    return not isinstance(x, Tracer)


def inside_transformation() -> bool:
    """Say whether a transformation such as jit or grad is tracing at this moment."""
    return jax.extend.core.get_opaque_trace_state(convention="nnx") != _TOP_LEVEL


def check_finite(name: str, x: Any, *, start: int = 0) -> None:
    """Raise a ValueError if concrete `x`, rows numbered from `start`, holds NaN or infinity."""
    if not is_concrete(x):
        return
    with np.errstate(over="ignore"):  # what float32 cannot hold counts as infinite
        require_finite(name, np.asarray(x, np.float32), start=start)


def read_data(name: str, x: Any) -> Any:
    """Return examples as uint8, which stands for k / 255, or float32.

    Values are the same at the end: what float32 would change by more than its rounding is refused.
    A traced array is only converted, as its values cannot be looked at.

    Raises:
        ValueError: for anything else than real numbers that float32 can hold.

    Examples:
        >>> read_data("x", [[0, 1], [2, 3]]).dtype, read_data("x", np.eye(2) > 0).tolist()
        (dtype('float32'), [[255, 0], [0, 255]])
    """
    if isinstance(x, Tracer):
        return _traced(name, x)
    if isinstance(x, jax.Array) and x.dtype in (jnp.float32, jnp.float64) and not x.is_deleted():
        return x
    return as_numbers(name, to_array(name, x))


def _traced(name: str, x: jax.Array) -> jax.Array:
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ValueError(not_numbers(name, x.dtype))
    kept = x.dtype in (jnp.uint8, jnp.float32, jnp.float64)
    return x if kept else x.astype(jnp.float32)


def read_latents(name: str, z: Any) -> Any:
    """Return latents as float32, whatever their type: they are never bytes."""
    if isinstance(z, jax.Array) and jnp.issubdtype(z.dtype, jnp.floating):
        return z
    if isinstance(z, Tracer):
        return _traced(name, z)
    latents = to_array(name, z)
    if kind_of(latents.dtype) == "i":
        refuse_inexact(name, latents)
    elif kind_of(latents.dtype) not in "bf":
        raise ValueError(not_numbers(name, latents.dtype))
    return as_float32(name, latents)


def read_labels(name: str, y: Any) -> Any:
    """Return class labels as int32, or rows of a condition, which are floats, as float32.

    Raises:
        ValueError: for names, which `from_arrays` turns into integers, for missing values, and for
            integers that int32 cannot hold.

    Examples:
        >>> read_labels("y", [True, False]).tolist(), read_labels("y", [[0.5, 0.5]]).dtype
        ([1, 0], dtype('float32'))
    """
    if isinstance(y, Tracer):
        return y.astype(jnp.float32 if jnp.issubdtype(y.dtype, jnp.floating) else jnp.int32)
    labels = to_label_array(name, y)
    if labels.dtype.kind in "USO":
        it = variable(name)
        raise ValueError(
            f"{name} is of type {getattr(y, 'dtype', labels.dtype)}: expected integer labels; "
            f"numpy.unique({it}, return_inverse=True)[1] numbers them, and from_arrays(x, {it}) "
            "does so for all splits and keeps the names"
        )
    kind = kind_of(labels.dtype)
    if kind not in "bif":
        raise ValueError(f"{name} is of type {labels.dtype}: expected integer labels")
    return as_float32(name, labels) if kind == "f" else as_int32(name, labels)


def read_codes(name: str, x: Any) -> Any:
    """Return codes, indices into a codebook, as integers of at most 32 bits."""
    if isinstance(x, jax.Array):
        return x
    codes = to_array(name, x)
    if codes.dtype.kind not in "iu":
        raise ValueError(
            f"{name} is of type {codes.dtype}: expected integer codes, as encode_indices gives"
        )
    small = codes.dtype.itemsize < 4 and codes.dtype.isnative
    return codes if small else as_int32(name, codes)
