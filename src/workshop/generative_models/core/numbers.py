"""Numbers as models read them, uint8, float32 or int32; what these cannot hold is refused.

`uint8` stands for k / 255, `bool` for 0 and 1. Nothing here imports JAX.
"""

import logging
from typing import Any

import numpy as np

TINY = float(np.finfo(np.float32).tiny)


def as_numbers(name: str, x: np.ndarray) -> np.ndarray:
    """Return an array of numbers as uint8 or float32; see `read_data`."""
    if x.dtype == np.uint8 or (x.dtype == np.float32 and x.dtype.isnative):
        return x
    if x.dtype.kind == "b":
        return x.astype(np.uint8) * np.uint8(255)
    kind = kind_of(x.dtype)
    if kind == "i":
        return _integers(name, x.astype(np.int32) if x.dtype.kind == "V" else x)
    if kind == "f":
        return as_float32(name, x)
    raise ValueError(not_numbers(name, x.dtype))


def variable(name: str) -> str:
    """Return what stands for an argument in a suggestion: "y" of the name "elbo: y"."""
    return name.rsplit(": ", 1)[-1]


def kind_of(dtype: np.dtype) -> str:
    """Return "b" for booleans, "i" for integers, "f" for floats; of anything else NumPy's kind."""
    if dtype.kind == "V" and dtype.names is None:  # the types of ml_dtypes, such as bfloat16
        return "f" if "float" in dtype.name else "i" if "int" in dtype.name else "V"
    return "i" if dtype.kind == "u" else dtype.kind


def not_numbers(name: str, dtype: Any) -> str:
    """Say that an array holds other things than real numbers, and what to do."""
    ways = {
        "c": ", not complex ones: join numpy.stack([x.real, x.imag], axis=-1), or abs(x)",
        "M": ": give times as numbers, (x - x.min()) / numpy.timedelta64(1, 'D')",
        "m": ": give durations as numbers, x / numpy.timedelta64(1, 'D')",
        **dict.fromkeys("UST", ", not strings: x.astype('float32') if they are numbers"),
        "V": ": numpy.lib.recfunctions.structured_to_unstructured(x) makes columns of fields",
    }
    objects = (
        " in one rectangular array: "
        "x = numpy.stack([numpy.asarray(image, 'float32') for image in images])"
    )
    way_out = ways.get(np.dtype(dtype).kind, objects)
    return f"{name} is of type {dtype}: expected numbers{way_out}"


def _integers(name: str, x: np.ndarray) -> np.ndarray:
    if x.ndim >= 3 and x.size and x.max() > 1:
        low, high = int(x.min()), int(x.max())
        fits = low >= 0 and high <= 255
        pixels = "x.astype(numpy.uint8) for pixels from 0 to 255" if fits else f"x / {high}"
        raise ValueError(
            f"{name} has shape {x.shape} and holds {x.dtype} from {low} to {high}: expected "
            f"pixels as uint8 or floats; give {pixels}, or x.astype(numpy.float32) for the numbers "
            "as they are"
        )
    refuse_inexact(name, x)
    return x.astype(np.float32)


def as_float32(name: str, x: np.ndarray) -> np.ndarray:
    """Return floats as float32, or refuse those beyond what it holds."""
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
    if x.ndim == 2:
        _warn_of_lost_digits(name, x, found)
    return found


_LOST = 0.01
"""Share of a column's spread that rounding to float32 may add to it, unremarked."""


def _warn_of_lost_digits(name: str, x: np.ndarray, found: np.ndarray) -> None:
    """Name the columns whose spread is lost beside their mean, such as 1e9 ± 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded, spread = np.abs(x - found).max(0), x.std(0)
    # Beside a constant column's mean the spread is that of rounding in float64.
    varies = spread > 1e-12 * np.abs(x).max(0)
    lost = np.flatnonzero(varies & (rounded > _LOST * spread))
    if len(lost):
        named = ", ".join(f"{i} ({x[:, i].mean():.9g} ± {spread[i]:.3g})" for i in lost[:5])
        logging.getLogger("workshop").warning(
            "%s: float32 keeps less than two digits of how %d columns vary: %s%s; subtract their "
            "mean before, in float64",
            name, len(lost), named, ", ..." if len(lost) > 5 else "",
        )  # fmt: skip


def _largest(x: np.ndarray) -> Any:
    return max(x.max(), -x.min())


def refuse_ambiguous_bytes(name: str, x: Any) -> None:
    """Refuse uint8 of 0 and 1: black and white to a person, 0 and 1 / 255 to the rule.

    Only for all examples that somebody gives: a dark image may be of such bytes.
    """
    here = getattr(x, "is_fully_addressable", True)  # no part lies with another process
    if x.dtype == np.uint8 and x.size and here and np.asarray(x).max() == 1:
        raise ValueError(
            f"{name} is of type uint8 and holds only the integers 0 and 1, but uint8 stands for "
            f"bytes, k / 255; for binary data give {variable(name)}.astype(bool), or images of 0 "
            f"and 255; for dark bytes {variable(name)} / numpy.float32(255)"
        )


def refuse_inexact(name: str, x: np.ndarray) -> None:
    """Refuse integers that float32 does not hold: identifiers and times would become others."""
    if x.dtype.itemsize < 4 or not x.size or max(-int(x.min()), int(x.max())) <= 2**24:
        return
    bounds = np.iinfo(x.dtype)
    rounded = x.astype(np.float32).astype(np.float64)
    # The largest integers round up to a power of two that their type does not hold.
    inside = (rounded >= float(bounds.min)) & (rounded < float(bounds.max) + 1)
    changed = ~inside | (np.where(inside, rounded, 0).astype(x.dtype) != x)
    if changed.any():
        first = tuple(int(i) for i in np.argwhere(changed)[0])
        raise ValueError(
            f"{name} holds the integer {x[first]} at {first}, which float32 rounds to "
            f"{int(rounded[first])}: drop identifiers, subtract the origin of times, or round on "
            "purpose with astype('float32')"
        )


def as_int32(name: str, x: np.ndarray) -> np.ndarray:
    """Return integers as int32, or refuse those that it cannot hold."""
    bounds = np.iinfo(np.int32)
    if x.size and x.dtype.kind in "iu":
        low, high = int(x.min()), int(x.max())
        if low < bounds.min or high > bounds.max:
            raise ValueError(
                f"{name} holds integers from {low} to {high}, which int32 cannot hold: "
                f"numpy.unique({variable(name)}, return_inverse=True)[1] numbers them from 0"
            )
    return x.astype(np.int32)


def require_finite(name: str, x: np.ndarray, *, start: int = 0) -> None:
    """Refuse NaN and infinity in an array of rows numbered from `start`."""
    finite = np.isfinite(x)
    if not finite.all():
        bad = np.argwhere(~finite)
        first = tuple(int(i) for i in bad[0])
        first = (first[0] + start, *first[1:]) if first else first
        raise ValueError(
            f"{name} holds NaN or infinite values: clean or drop those examples ({len(bad):,} such "
            f"values, the first at index {first}; x[numpy.isfinite(x).reshape(len(x), -1).all(1)] "
            "leaves those examples out)"
        )
