"""A figure with what a reviewer asks of it: estimator, sample size, standard error."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from workshop.generative_models.core.checks import positive_int


@dataclass(frozen=True)
class Estimate:
    """A figure and how it came about."""

    value: float
    """The figure."""
    standard_error: float | None
    """Standard deviation of the estimator over repetitions; None where there is no estimate."""
    n: int
    """How many examples, samples or runs it rests on."""
    estimator: str
    """How it was estimated, in a few words: "mean over examples, 1 sample of z each"."""
    unit: str = ""
    """Such as nats or bits; empty for a plain number."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields, for `evaluation.json`; a figure that is not finite is None there."""
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def mean_of(values: ArrayLike, estimator: str, unit: str = "", *, scale: float = 1.0) -> Estimate:
    """Return the mean of values, one an example, times `scale`: its error is s / √n.

    Args:
        values: (n,) independent values.
        estimator: what each value is.
        unit: of the values, once scaled.
        scale: such as 1 / (D log 2), which makes bits per dimension of nats.

    Examples:
        >>> mean_of([1.0, 2.0, 3.0], "three numbers").standard_error
        0.5773502691896258
    """
    array = np.asarray(values, np.float64) * scale
    if array.ndim != 1 or not array.size:
        raise ValueError(f"values has shape {array.shape}: expected (n,), at least one")
    n = len(array)
    error = float(array.std(ddof=1) / np.sqrt(n)) if n > 1 else None
    return Estimate(float(array.mean()), error, n, estimator, unit)


def jackknife(
    statistic: Callable[..., float], *arrays: np.ndarray, groups: int = 10, seed: int = 0
) -> float:
    """Return the standard error of a smooth statistic of examples, by leaving out a group in turn.

        SE² = (g - 1)/g Σ_i (θ_(i) - θ̄)²,  θ_(i) the statistic without group i.

    Not for statistics that look at nearest neighbours or medians: those are not smooth.

    Args:
        statistic: function of arrays whose rows are examples.
        arrays: of equal length; rows belong together.
        groups: g; the statistic is computed that many times.
        seed: of the assignment of examples to groups.

    References:
        Kunsch, The jackknife and the bootstrap for general stationary observations, Annals of
        Statistics 1989; Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11.

    Examples:
        >>> x = np.arange(10.0)
        >>> error = jackknife(lambda a: float(a.mean()), x, groups=10)
        >>> bool(abs(error - x.std(ddof=1) / 10**0.5) < 1e-12)
        True
    """
    n = len(arrays[0])
    if positive_int("groups", groups) < 2 or groups > n:
        raise ValueError(f"groups={groups}: expected 2 <= groups <= {n} (examples)")
    group = np.random.default_rng(seed).permutation(np.arange(n) % groups)
    left = np.array([statistic(*(a[group != i] for a in arrays)) for i in range(groups)])
    return float(np.sqrt((groups - 1) / groups * np.sum(np.square(left - left.mean()))))
