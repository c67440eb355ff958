"""Arguments to checked float64 arrays; every message names the function and the argument."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

_FORMS = "(n, height, width, channels) images or (n, features) vectors"


def numbers(where: str, values: ArrayLike) -> Float[np.ndarray, "..."]:
    """Return `values` as float64.

    Args:
        where: what messages begin with, as `image_grid(images)`.
        values: numbers, in any array or nested list.

    Raises:
        ValueError: if they are not real numbers, or there are none.
    """
    try:
        array = np.asarray(values)
        # Of the kind "V" only low-precision floats, such as bfloat16, can be cast to a float.
        real = array.dtype.kind in "biuf" or (array.dtype.kind == "V" and array.dtype.names is None)
        result = array.astype(np.float64) if real else None
    except (TypeError, ValueError):
        result = None
    if result is None:
        raise ValueError(f"{where}: expected an array of real numbers")
    if not result.size:
        raise ValueError(f"{where}: expected at least one value, got shape {result.shape}")
    return result


def pixels(where: str, values: ArrayLike) -> Float[np.ndarray, "..."]:
    """Return `values` as float64, 8-bit integers on the scale from 0 to 1."""
    array = numbers(where, values)
    return array / 255 if np.asarray(values).dtype == np.uint8 else array


def examples(where: str, values: ArrayLike) -> Float[np.ndarray, "..."]:
    """Return `values` as images (n, height, width, channels) or vectors (n, features)."""
    array = pixels(where, values)
    if array.ndim in (2, 4):
        return array
    hint = "; add a channel axis: images[..., None]" if array.ndim == 3 else ""
    raise ValueError(f"{where}: expected {_FORMS}, got shape {array.shape}{hint}")


def rows_of_examples(where: str, values: ArrayLike) -> Float[np.ndarray, "..."]:
    """Return `values` as (rows, steps, height, width, channels) or (rows, steps, features)."""
    array = pixels(where, values)
    if array.ndim in (3, 5):
        return array
    raise ValueError(
        f"{where}: expected (rows, steps, height, width, channels) or (rows, steps, features), "
        f"got shape {array.shape}"
    )


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
