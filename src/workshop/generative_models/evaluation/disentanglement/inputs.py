"""What the metrics read, checked: codes of examples and their factors."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from ..arrays import finite_rows

Codes = Float[np.ndarray, "examples latents"]
Factors = Int[np.ndarray, "examples factors"]
Examples = tuple[Codes, Factors]
Tests = tuple[Float[np.ndarray, "tests latents"], Int[np.ndarray, "tests factors"]]


def checked(
    where: str, codes: ArrayLike, factors: ArrayLike, *, latents: int = 1, columns: int = 1
) -> Examples:
    """Return codes and factors that belong together, with at least so many latents and columns.

    Errors call the codes `where`, such as "mig(codes)", and the factors "mig(factors)".
    """
    x = finite_rows(where, codes)
    if x.shape[1] < latents:
        raise ValueError(
            f"{where}: expected at least {latents} latents to compare, got shape {x.shape}"
        )
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
    for name, test, train in zip(("codes", "factors"), (x, y), like, strict=True):
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
