"""The one conversion of data, labels and codes, used wherever the library is given them.

Bytes are told by their type alone: `uint8` stands for k / 255, as in image files; `bool` is 0 and
1; every other type is taken as the numbers it holds. What float32 or int32 cannot hold is refused.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from workshop.generative_models.core.containers import refuse_inexact, to_array

TINY = float(np.finfo(np.float32).tiny)


def read_data(name: str, x: Any) -> Any:
    """Return examples as uint8, which stands for k / 255, or float32.

    Values are the same at the end: what float32 would change by more than its rounding is refused.
    A traced array is only converted, as its values cannot be looked at.

    Args:
        name: the argument, for errors.
        x: an array, lists, a data frame or series, a tensor; see `containers.to_array`.

    Raises:
        ValueError: for anything else than real numbers that float32 can hold.

    Examples:
        >>> read_data("x", [[0, 1], [2, 3]]).dtype, read_data("x", np.eye(2) > 0).tolist()
        (dtype('float32'), [[255, 0], [0, 255]])
    """
    if isinstance(x, jax.Array):
        if isinstance(x, Tracer):
            return _traced(name, x)
        if x.dtype == jnp.float32:
            return x
    return as_numbers(name, to_array(name, x))


def as_numbers(name: str, x: np.ndarray) -> np.ndarray:
    """Return an array of numbers as uint8 or float32; see `read_data`."""
    if x.dtype == np.uint8 or (x.dtype == np.float32 and x.dtype.isnative):
        return x
    if x.dtype.kind == "b":
        return x.astype(np.uint8) * np.uint8(255)
    if jnp.issubdtype(x.dtype, np.integer) and x.dtype.kind in "iuV":
        return _integers(name, x.astype(np.int32) if x.dtype.kind == "V" else x)
    if jnp.issubdtype(x.dtype, np.floating):
        return _floats(name, x)
    raise ValueError(f"{name} is of type {x.dtype}: expected numbers{_way_out(x.dtype)}")


def _traced(name: str, x: jax.Array) -> jax.Array:
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ValueError(f"{name} is of type {x.dtype}: expected numbers{_way_out(x.dtype)}")
    return x if x.dtype == jnp.uint8 else x.astype(jnp.float32)


def _way_out(dtype: Any) -> str:
    ways = {
        "c": ", not complex ones: join numpy.stack([x.real, x.imag], axis=-1), or abs(x)",
        "M": ": give times as numbers, (x - x.min()) / numpy.timedelta64(1, 'D')",
        "m": ": give durations as numbers, x / numpy.timedelta64(1, 'D')",
        "U": ", not strings: x.astype('float32') if they are numbers",
        "S": ", not strings: x.astype('float32') if they are numbers",
        "T": ", not strings: x.astype('float32') if they are numbers",
        "V": ": numpy.lib.recfunctions.structured_to_unstructured(x) makes columns of fields",
    }
    objects = (
        " in one rectangular array: "
        "x = numpy.stack([numpy.asarray(image, 'float32') for image in images])"
    )
    return ways.get(np.dtype(dtype).kind, objects)


def _integers(name: str, x: np.ndarray) -> np.ndarray:
    if x.ndim >= 3 and x.size and x.max() > 1:
        low, high = int(x.min()), int(x.max())
        as_bytes = (
            ", x.astype(numpy.uint8) for pixels from 0 to 255," if low >= 0 and high <= 255 else ""
        )
        raise ValueError(
            f"{name} has shape {x.shape} and holds {x.dtype} from {low} to {high}: expected "
            f"pixels as uint8 or floats; give{as_bytes or ' x / ' + str(high) + ' for [0, 1],'} or "
            "x.astype(numpy.float32) for the numbers as they are"
        )
    refuse_inexact(name, x)
    return x.astype(np.float32)


def _floats(name: str, x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        found = np.ascontiguousarray(x, np.float32)
    if x.dtype.kind == "V" or x.dtype.itemsize <= 4 or not x.size:
        return found
    beyond = np.isinf(found) & np.isfinite(x)
    if beyond.any():
        first = tuple(int(i) for i in np.argwhere(beyond)[0])
        raise ValueError(
            f"{name} has {np.count_nonzero(beyond)} values beyond float32 (3.4e38), the first at "
            f"index {first}: {x[first]}; divide the data by its scale, or take its logarithm"
        )
    if (not found.any() and x.any()) or 0 < _largest(found) < TINY:
        raise ValueError(
            f"{name} holds only values below what float32 resolves (1.2e-38), such as "
            f"{_largest(x):.3g}: divide the data by its scale"
        )
    return found


def _largest(x: np.ndarray) -> Any:
    return max(x.max(), -x.min())


def refuse_ambiguous_bytes(name: str, x: Any) -> None:
    """Refuse uint8 that holds only 0 and 1: black and white to a person, 0 and 1 / 255 to the rule.

    Only for all examples that somebody gives: a dark image may be of such bytes.
    """
    if x.dtype == np.uint8 and x.size and np.asarray(x).max() == 1:
        raise ValueError(
            f"{name} is of type uint8 and holds only the integers 0 and 1, but uint8 stands for "
            f"bytes, k / 255; for binary data give {name}.astype(bool), for dark bytes "
            f"{name} / numpy.float32(255)"
        )


def read_labels(name: str, y: Any) -> Any:
    """Return class labels as int32, or rows of a condition as float32.

    Args:
        name: the argument, for errors.
        y: integers or booleans of any shape, or floats; not names, which `from_arrays` turns into
            integers.

    Raises:
        ValueError: for names, missing values, and integers that int32 cannot hold.

    Examples:
        >>> read_labels("y", [True, False]).tolist(), read_labels("y", [[0.5, 0.5]]).dtype
        ([1, 0], dtype('float32'))
    """
    if isinstance(y, Tracer):
        return y.astype(jnp.float32 if jnp.issubdtype(y.dtype, jnp.floating) else jnp.int32)
    labels = to_array(name, y)
    if labels.dtype.kind in "USTO":
        raise ValueError(
            f"{name} is of type {getattr(y, 'dtype', labels.dtype)}: expected integer labels; "
            f"numpy.unique({name}, return_inverse=True)[1] numbers them, and from_arrays(x, "
            f"{name}) does so for all splits and keeps the names"
        )
    if labels.dtype.kind == "b" or jnp.issubdtype(labels.dtype, np.integer):
        return as_int32(name, labels)
    if not jnp.issubdtype(labels.dtype, np.floating):
        raise ValueError(f"{name} is of type {labels.dtype}: expected integer labels")
    return _floats(name, labels)


def as_int32(name: str, x: np.ndarray) -> np.ndarray:
    """Return integers as int32, or refuse those that it cannot hold."""
    bounds = np.iinfo(np.int32)
    if x.size and x.dtype.kind in "iu":
        low, high = int(x.min()), int(x.max())
        if low < bounds.min or high > bounds.max:
            raise ValueError(
                f"{name} holds integers from {low} to {high}, which int32 cannot hold: "
                f"numpy.unique({name}, return_inverse=True)[1] numbers them from 0"
            )
    return x.astype(np.int32)


def read_codes(name: str, x: Any) -> Any:
    """Return codes, indices into a codebook, as integers of at most 32 bits.

    Examples:
        >>> read_codes("x", [[0, 1], [2, 3]]).dtype
        dtype('int32')
    """
    if isinstance(x, jax.Array):
        return x
    codes = to_array(name, x)
    if codes.dtype.kind not in "iu":
        raise ValueError(
            f"{name} is of type {codes.dtype}: expected integer codes, as encode_indices gives"
        )
    small = codes.dtype.itemsize < 4 and codes.dtype.isnative
    return codes if small else as_int32(name, codes)
