"""Arguments as arrays of finite numbers, a row for each example."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, DTypeLike


def finite_rows(
    name: str,
    value: ArrayLike,
    columns: str = "latents",
    *,
    least: int = 1,
    dtype: DTypeLike = np.float64,
) -> Float[np.ndarray, "n columns"]:
    """Return (n, columns) finite numbers, n at least `least`, or say what is wrong with them."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        array = np.asarray(value).astype(dtype)
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(
            f"{name}: expected shape (n, {columns}), a row for each example, got {array.shape}; "
            "reshape others to (n, -1)"
        )
    if len(array) < least:
        raise ValueError(f"{name}: expected at least {least} examples, got {len(array)}")
    bad = np.count_nonzero(~np.isfinite(array).all(axis=1))
    if bad:
        raise ValueError(
            f"{name}: expected finite numbers, got {bad:,} rows of {len(array):,} with NaN or "
            "infinity"
        )
    return array
