"""How well a score tells odd examples from normal ones: AUROC and average precision."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, rankdata
from sklearn.metrics import average_precision_score

from .estimates import Estimate

RESAMPLES = 200
"""Bootstrap samples: they give a standard error to 1/√(2 · 200) = 5% of itself."""


def detection(
    scores_normal: ArrayLike, scores_odd: ArrayLike, *, seed: int = 0
) -> dict[str, Estimate]:
    """Return `auroc` and `average_precision` of scores that should be higher for odd examples.

    Args:
        scores_normal: (n,) scores of normal examples, such as the negative ELBO in nats.
        scores_odd: (m,) scores of odd ones.
        seed: of the bootstrap behind the error of the average precision.

    Raises:
        ValueError: if there are no scores, or some are NaN.

    Examples:
        >>> figures = detection([1.0, 2.0, 3.0], [2.5, 4.0])
        >>> {name: round(figure.value, 4) for name, figure in figures.items()}
        {'auroc': 0.8333, 'average_precision': 0.8333}
    """
    return {
        "auroc": auroc(scores_normal, scores_odd),
        "average_precision": average_precision(scores_normal, scores_odd, seed=seed),
    }


def auroc(scores_normal: ArrayLike, scores_odd: ArrayLike) -> Estimate:
    """Return P(odd > normal) + ½ P(odd = normal), the area under the ROC curve.

        θ = 1/m Σ_i V_i = 1/n Σ_j W_j,   SE² = s²(V)/m + s²(W)/n,

    with V_i the share of normal scores below the i-th odd one and W_j the share of odd scores above
    the j-th normal one, ties counted half. Both come from mid-ranks, in O((n + m) log (n + m)). The
    arguments and errors are those of `detection`.

    References:
        DeLong, DeLong & Clarke-Pearson, Comparing the areas under two or more correlated receiver
        operating characteristic curves, Biometrics 1988; Sun & Xu, Fast implementation of DeLong's
        algorithm, IEEE Signal Processing Letters 2014.

    Examples:
        >>> auroc([0.0, 1.0], [1.0, 2.0]).value
        0.875
    """
    normal, odd = _checked("scores_normal", scores_normal), _checked("scores_odd", scores_odd)
    n, m = len(normal), len(odd)
    ranks = rankdata(np.concatenate([odd, normal]))
    below = (ranks[:m] - rankdata(odd)) / n
    above = 1 - (ranks[m:] - rankdata(normal)) / m
    error = None
    if min(n, m) > 1:
        error = float(np.sqrt(below.var(ddof=1) / m + above.var(ddof=1) / n))
    text = f"{m:,} odd against {n:,} normal examples, error of DeLong et al."
    return Estimate(float(below.mean()), error, n + m, text)


def average_precision(
    scores_normal: ArrayLike, scores_odd: ArrayLike, *, seed: int = 0
) -> Estimate:
    """Return Σ_t (R_t - R_{t-1}) P_t, the precision averaged over the recall of odd examples.

    The sum is over the distinct scores t from the highest down, P_t and R_t precision and recall of
    "odd if score >= t". By chance it is m / (n + m), which `estimator` states. The error is the
    standard deviation over bootstrap samples of normal and of odd scores. The arguments and errors
    are those of `detection`.

    Examples:
        >>> round(average_precision([1.0, 3.0], [2.0, 4.0]).value, 4)
        0.8333
    """
    normal, odd = _checked("scores_normal", scores_normal), _checked("scores_odd", scores_odd)
    n, m = len(normal), len(odd)
    ranks = rankdata(np.concatenate([odd, normal]))  # scores may be infinite
    parts = ranks[:m], ranks[m:]

    def area(odd: np.ndarray, normal: np.ndarray) -> float:
        is_odd = np.repeat([1, 0], [len(odd), len(normal)])
        return float(average_precision_score(is_odd, np.concatenate([odd, normal])))

    error = None
    if min(n, m) > 1:
        found = bootstrap(
            parts, area, n_resamples=RESAMPLES, vectorized=False, method="percentile",
            random_state=np.random.default_rng(seed),  # type: ignore[call-arg]
        )  # fmt: skip
        error = float(found.standard_error)
    text = (
        f"{m:,} odd against {n:,} normal examples, {m / (n + m):.3g} by chance, error of "
        f"{RESAMPLES} bootstrap samples"
    )
    return Estimate(area(*parts), error, n + m, text)


def _checked(name: str, value: ArrayLike) -> Float[np.ndarray, " n"]:
    """Return scores as float64, checked; they are only ranked, so that they may be infinite."""
    array = np.asarray(value, np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(
            f"{name} has shape {array.shape}: expected (n,), one score an example, at least one"
        )
    if np.isnan(array).any():
        raise ValueError(
            f"{name}: expected numbers, got NaN for {int(np.isnan(array).sum())} of {len(array)}"
        )
    return array
