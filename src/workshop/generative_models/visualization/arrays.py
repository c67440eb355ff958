"""Arguments to checked float64 arrays; every message names the function and the argument."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from ..core.containers import to_array
from ..core.numbers import kind_of, not_numbers


def numbers(where: str, values: ArrayLike) -> Float[np.ndarray, "..."]:
    """Return real numbers, at least one, as float64."""
    array = to_array(where, values)
    if kind_of(array.dtype) not in "bif":
        raise ValueError(not_numbers(where, array.dtype))
    if not array.size:
        raise ValueError(f"{where}: expected at least one value, got shape {array.shape}")
    return array.astype(np.float64)


def examples(where: str, values: ArrayLike, lead: str = "n") -> Float[np.ndarray, "..."]:
    """Return images or vectors as float64, 8-bit integers on the scale from 0 to 1.

    They are (n, height, width, channels) or (n, features), or have other leading axes than n.
    """
    array = numbers(where, values)
    axes = array.ndim - lead.count(",")
    if axes not in (2, 4):
        hint = "; add a channel axis: images[..., None]" if axes == 3 else ""
        raise ValueError(
            f"{where}: expected ({lead}, height, width, channels) images or ({lead}, features) "
            f"vectors, got shape {array.shape}{hint}"
        )
    return array / 255 if np.asarray(values).dtype == np.uint8 else array


def vector(where: str, values: ArrayLike, length: int | None = None) -> Float[np.ndarray, " n"]:
    """Return `values` as one axis of finite numbers, of `length` where given."""
    array = numbers(where, values)
    if array.ndim != 1 or length not in (None, len(array)):
        raise ValueError(f"{where}: expected shape ({length or 'n'},), got {array.shape}")
    return finite(where, array)


def finite(where: str, array: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return `array`, or say where it is not finite."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        at = ", ".join(map(str, bad[0]))
        raise ValueError(
            f"{where}: expected finite numbers, got {array[tuple(bad[0])]} at [{at}] "
            f"({len(bad)} of {array.size} values are not finite)"
        )
    return array


def whole(where: str, values: ArrayLike) -> Int[np.ndarray, "..."]:
    """Return `values` as int64, or say that whole numbers are needed."""
    floats = finite(where, numbers(where, values))
    if np.any(floats != np.round(floats)):
        raise ValueError(f"{where}: expected whole numbers, got {floats[floats % 1 != 0][0]}")
    return floats.astype(np.int64)


def class_labels(where: str, values: ArrayLike, length: int) -> Int[np.ndarray, " n"]:
    """Return one whole number an example."""
    labels = whole(where, values)
    if labels.shape != (length,):
        hint = "; of one-hot labels pass labels.argmax(-1)" if labels.ndim == 2 else ""
        raise ValueError(
            f"{where}: expected one label for each of {length} examples, shape ({length},), "
            f"got {labels.shape}{hint}"
        )
    return labels


def texts(where: str, values: Iterable[object], length: int) -> list[str]:
    """Return `length` texts."""
    result = [values] if isinstance(values, str) else [str(value) for value in values]
    if len(result) != length:
        raise ValueError(f"{where}: expected {length} texts, one an example, got {len(result)}")
    return result


def name_of_class(where: str, label: int, names: Sequence[str] | None) -> str:
    """Return the name of a class: its entry in `names`, else its number."""
    if names is None:
        return str(label)
    if not 0 <= label < len(names):
        raise ValueError(f"{where}: expected a name for label {label}, got {len(names)} names")
    return str(names[label])
