"""What the metrics read, checked: codes of examples and their factors."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

Codes = Float[np.ndarray, "examples latents"]
Factors = Int[np.ndarray, "examples factors"]
Examples = tuple[Codes, Factors]
Tests = tuple[Float[np.ndarray, "tests latents"], Int[np.ndarray, "tests factors"]]


def checked_codes(name: str, codes: ArrayLike, latents: int = 1) -> Codes:
    """Return codes as float64, or say that they are not `latents` columns or more of numbers."""
    array = np.asarray(codes, np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name}: expected shape (examples, latents), got {array.shape}")
    if array.shape[1] < latents:
        raise ValueError(
            f"{name}: expected at least {latents} latents to compare, got shape {array.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(array).all(axis=0))
    if bad.size:
        raise ValueError(f"{name}: expected finite numbers, got NaN or inf in latent {bad[0]}")
    return array


def checked(
    where: str, codes: ArrayLike, factors: ArrayLike, *, latents: int = 1, columns: int = 1
) -> Examples:
    """Return codes and factors as arrays that belong together.

    Args:
        where: how the codes are called in errors, such as "mig(codes)"; the factors are then
            "mig(factors)", and "dci(test_codes)" goes with "dci(test_factors)".
        codes: (examples, latents) finite numbers.
        factors: (examples, factors) whole numbers.
        latents: how many latents there must be.
        columns: how many factors there must be.
    """
    x = checked_codes(where, codes, latents)
    y, name = np.asarray(factors), where.replace("codes", "factors")
    if y.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected whole numbers, got {y.dtype}; number the values of each factor, "
            "such as by np.unique(column, return_inverse=True)[1]"
        )
    if y.ndim != 2 or len(y) != len(x):
        raise ValueError(
            f"{name}: expected shape ({len(x)}, factors), a row for each of the {len(x)} codes, "
            f"got {y.shape}"
        )
    if y.shape[1] < columns:
        raise ValueError(f"{name}: expected at least {columns} factors, got shape {y.shape}")
    return x, y.astype(np.int64)


def checked_test(where: str, codes: ArrayLike, factors: ArrayLike, like: Examples) -> Tests:
    """Return the codes and factors that a learner is scored on: as many columns as it learnt on."""
    x, y = checked(f"{where}(test_codes)", codes, factors)
    for name, test, train in (("codes", x, like[0]), ("factors", y, like[1])):
        if test.shape[1] != train.shape[1]:
            raise ValueError(
                f"{where}(test_{name}): expected {train.shape[1]} columns, as {name} has, "
                f"got shape {test.shape}"
            )
    return x, y


def no_constant(where: str, factors: Factors) -> None:
    """Refuse a factor that never changes, where a score would be 0 / 0."""
    constant = np.flatnonzero(np.ptp(factors, axis=0) == 0)
    if constant.size:
        raise ValueError(
            f"{where}(factors): expected at least two values of each factor, got one of factor "
            f"{constant[0]}; draw more examples or leave its column out"
        )
