"""Which samples lie among the data, and which data among the samples: balls around neighbours."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

from ...core.checks import positive_int
from ..estimates import Estimate, mean_of, share_of
from .features import feature_pair

BLOCK = 2**22
"""Entries of a block of the matrix of distances: 32 MiB of float64."""
PRECISION_K, DENSITY_K = 3, 5
"""Neighbours in the balls of precision and recall, and of density and coverage."""


def precision_recall(real: ArrayLike, fake: ArrayLike, k: int = PRECISION_K) -> dict[str, Estimate]:
    """Return the share of samples near data, `precision`, and of data near samples, `recall`.

    Near to a set is what lies in the ball around one of its examples that reaches to that example's
    k-th nearest neighbour in the set. The ball is closed, so that duplicates are near to
    themselves. The errors are those of a share of independent examples, the balls taken as given.

    Args:
        real: (n, dim) features of data.
        fake: (m, dim) features of samples.
        k: which neighbour a ball reaches to.

    Raises:
        ValueError: if there are no more than k examples of either, or the features do not match.

    References:
        Kynkäänniemi et al., Improved precision and recall metric for assessing generative models,
        NeurIPS 2019.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(50, 2))
        >>> [figure.value for figure in precision_recall(x, x).values()]
        [1.0, 1.0]
    """
    a, b = feature_pair(real, fake, (positive_int("k", k) + 1, k + 1))
    near_data, near_samples = _in_balls(a, b, k)[0] > 0, _in_balls(b, a, k)[0] > 0
    return {
        "precision": share_of(near_data, estimator=f"share of samples in balls of the data, k={k}"),
        "recall": share_of(near_samples, estimator=f"share of the data in balls of samples, k={k}"),
    }


def density_coverage(real: ArrayLike, fake: ArrayLike, k: int = DENSITY_K) -> dict[str, Estimate]:
    """Return how densely samples lie near data, `density`, and the share of data met, `coverage`.

        density = 1/(k m) Σ_j Σ_i 1[y_j ∈ B_i],   coverage = 1/n Σ_i 1[some y_j ∈ B_i],

    with B_i the ball around the i-th of n real examples that reaches to its k-th nearest neighbour
    among them. Of equal distributions density is 1 on average, for continuous features, and
    coverage 1 - (n - 1) … (n - k) / ((n + m - 1) … (n + m - k)): 1 - 2⁻ᵏ for many and n = m.
    The errors are those of a mean over independent examples, the balls taken as given. The
    arguments and errors are those of `precision_recall`, but that one sample will do.

    References:
        Naeem, Oh, Uh, Choi & Yoo, Reliable fidelity and diversity metrics for generative models,
        ICML 2020.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(50, 2))
        >>> density_coverage(x, x + 100.0)["coverage"].value
        0.0
    """
    a, b = feature_pair(real, fake, (positive_int("k", k) + 1, 1))
    balls, points = _in_balls(a, b, k)
    met = f"share of balls of the data with samples, k={k}"
    return {
        "density": mean_of(balls / k, f"balls of the data around a sample / k, k={k}"),
        "coverage": share_of(points > 0, estimator=met),
    }


def _in_balls(
    centres: Float[np.ndarray, "n dim"], points: Float[np.ndarray, "m dim"], k: int
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " n"]]:
    """Return the number of balls around each point, and of points in each ball."""
    mean = centres.mean(axis=0)
    centres, points = centres - mean, points - mean
    # Distances come from a matrix product; those equal to a radius would be in or out by rounding.
    slack = 1e-12 * max(np.square(x).sum(axis=1).max() for x in (centres, points))
    neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(centres)
    radii = neighbours.kneighbors()[0][:, -1:]  # each centre is left out of its own neighbours
    around, inside = np.zeros(len(points), np.int64), np.zeros(len(centres), np.int64)
    step = max(1, BLOCK // len(points))
    for start in range(0, len(centres), step):
        rows = slice(start, start + step)
        squares = euclidean_distances(centres[rows], points, squared=True) - slack
        within = squares <= np.square(radii[rows])
        around += within.sum(axis=0)
        inside[rows] = within.sum(axis=1)
    return around, inside
