"""Means, shares and jackknife estimates, with their standard errors."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..core.checks import positive_int
from ..core.estimates import Estimate


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
    n, mean = len(array), float(array.mean())
    # Beside an infinite value, as of a log-density that float32 cannot hold, there is no spread.
    error = float(array.std(ddof=1) / np.sqrt(n)) if n > 1 and np.isfinite(mean) else None
    return Estimate(mean, error, n, estimator, unit)


def share_of(hits: ArrayLike | float, n: int | None = None, estimator: str = "") -> Estimate:
    """Return a share of n independent examples, whose error is √(p̃ (1 - p̃) / n), p̃ = (k+1)/(n+2).

    Args:
        hits: (n,) whether each example is hit; or the share itself, and then n.
        n: how many examples.
        estimator: what a hit is.

    References:
        Agresti & Coull, Approximate is better than "exact" for interval estimation of binomial
        proportions, The American Statistician 1998.

    Examples:
        >>> str(share_of([False] * 98))
        '0.000 ± 0.010'
    """
    array = np.asarray(hits, np.float64)
    n = array.size if n is None else positive_int("n", n)
    share = float(array.mean())
    middle = (share * n + 1) / (n + 2)
    return Estimate(share, float(np.sqrt(middle * (1 - middle) / n)), n, estimator)


def mean_with_part(
    every: ArrayLike, extra: ArrayLike, estimator: str, unit: str = "", *, scale: float = 1.0
) -> Estimate:
    """Return a mean whose costly part is known for the first examples only.

        θ = 1/n Σ_i a_i + 1/m Σ_j≤m d_j,   SE² = s²(a)/n + s²(d)/m + 2 s(a, d)/n

    a is cheap and known for all n, d is what the costly estimate adds to it. Where d varies less
    than a + d, this beats the mean of the m alone. It has no bias if examples are in random order.

    Args:
        every: (n,) a.
        extra: (m,) d of the first m of them.
        estimator: what is estimated.
        unit: of the values, once scaled.
        scale: factor on all of it.

    References:
        Cochran, Sampling Techniques, 3rd ed. 1977, section 12.2 (double sampling).

    Examples:
        >>> mean_with_part([1.0, 2.0, 6.0], [0.5, 0.5], "three, two of them in full").value
        3.5
    """
    a, d = np.asarray(every, np.float64) * scale, np.asarray(extra, np.float64) * scale
    n, m = len(a), len(d)
    if not 1 <= m <= n:
        raise ValueError(f"extra has {m} values: expected 1 to {n}, as every has")
    error, mean = None, float(a.mean() + d.mean())
    if m > 1 and np.isfinite(mean):
        covariance = np.cov(a[:m], d)
        error = float(np.sqrt(max(a.var(ddof=1) / n + covariance[1, 1] / m
                                  + 2 * covariance[0, 1] / n, 0.0)))  # fmt: skip
    text = estimator if m == n else f"{estimator}, {m:,} of {n:,} examples; else ELBO"
    return Estimate(mean, error, n, text, unit)


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
    return jackknife_error([statistic(*(a[group != i] for a in arrays)) for i in range(groups)])


def jackknife_error(left: Sequence[float]) -> float:
    """Return √((g - 1)/g Σ_i (θ_(i) - θ̄)²) of a statistic without each of g groups in turn."""
    return float(np.std(left) * np.sqrt(len(left) - 1))
