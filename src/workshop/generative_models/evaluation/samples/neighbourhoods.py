"""Which samples lie among the data, and which data among the samples: balls around neighbours."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

from workshop.generative_models.core.checks import positive_int
from workshop.generative_models.evaluation.estimates import Estimate, mean_of, share_of
from workshop.generative_models.evaluation.samples.features import feature_pair

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
    around_fake, _, around_real = ball_counts(a, b, (k,), (k,))
    return precision_recall_of(around_fake[0], around_real[0], k)


def precision_recall_of(around_fake: np.ndarray, around_real: np.ndarray, k: int):
    """Return both from the number of balls of the other set around each example."""
    return {
        "precision": share_of(
            around_fake > 0, estimator=f"share of samples in balls of the data, k={k}"
        ),
        "recall": share_of(
            around_real > 0, estimator=f"share of the data in balls of samples, k={k}"
        ),
    }


def density_coverage(real: ArrayLike, fake: ArrayLike, k: int = DENSITY_K) -> dict[str, Estimate]:
    """Return how densely samples lie near data, `density`, and the share of data met, `coverage`.

        density = 1/(k m) Σ_j Σ_i 1[y_j ∈ B_i],   coverage = 1/n Σ_i 1[some y_j ∈ B_i],

    with B_i the ball around the i-th of n real examples that reaches to its k-th nearest neighbour
    among them. Of equal distributions density is 1 on average, for continuous features, and
    coverage 1 - (n - 1) … (n - k) / ((n + m - 1) … (n + m - k)): 1 - 2⁻ᵏ for many and n = m.
    The errors are those of a mean over independent examples, the balls taken as given.

    Args:
        real: (n, dim) features of data.
        fake: (m, dim) features of samples.
        k: which neighbour a ball reaches to.

    Raises:
        ValueError: if there are no more than k real examples, or the features do not match.

    References:
        Naeem, Oh, Uh, Choi & Yoo, Reliable fidelity and diversity metrics for generative models,
        ICML 2020.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(50, 2))
        >>> density_coverage(x, x + 100.0)["coverage"].value
        0.0
    """
    a, b = feature_pair(real, fake, (positive_int("k", k) + 1, 1))
    around_fake, in_real, _ = ball_counts(a, b, (k,), ())
    return density_coverage_of(around_fake[0], in_real[0], k)


def density_coverage_of(around_fake: np.ndarray, in_real: np.ndarray, k: int):
    """Return both from the balls around each sample and the samples in each ball."""
    return {
        "density": mean_of(around_fake / k, f"balls of the data around a sample / k, k={k}"),
        "coverage": share_of(
            in_real > 0, estimator=f"share of balls of the data with samples, k={k}"
        ),
    }


def ball_counts(
    real: Float[np.ndarray, "n dim"],
    fake: Float[np.ndarray, "m dim"],
    real_ks: Sequence[int],
    fake_ks: Sequence[int],
) -> tuple[Int[np.ndarray, "r m"], Int[np.ndarray, "r n"], Int[np.ndarray, "f n"]]:
    """Count, for each k, what lies in the balls around examples to their k-th nearest neighbours.

    Returns:
        For each of `real_ks` the balls around each sample, and the samples in each ball; for each
        of `fake_ks` the balls of samples around each real example.
    """
    centre = real.mean(axis=0)
    real, fake = real - centre, fake - centre
    # Distances come from a matrix product; those equal to a radius would be in or out by rounding.
    slack = 1e-12 * max(np.square(x).sum(axis=1).max() for x in (real, fake))
    real_radii, fake_radii = squared_radii(real, real_ks), squared_radii(fake, fake_ks)
    around_fake = np.zeros((len(real_ks), len(fake)), np.int64)
    in_real = np.zeros((len(real_ks), len(real)), np.int64)
    around_real = np.zeros((len(fake_ks), len(real)), np.int64)
    step = max(1, BLOCK // len(fake))
    for start in range(0, len(real), step):
        rows = slice(start, start + step)
        squares = euclidean_distances(real[rows], fake, squared=True) - slack
        for i, radii in enumerate(real_radii):
            within = squares <= radii[rows, None]
            around_fake[i] += within.sum(axis=0)
            in_real[i, rows] = within.sum(axis=1)
        for i, radii in enumerate(fake_radii):
            around_real[i, rows] = (squares <= radii).sum(axis=1)
    return around_fake, in_real, around_real


def squared_radii(x: Float[np.ndarray, "n dim"], ks: Sequence[int]) -> Float[np.ndarray, "ks n"]:
    """Return the squared distance of each example to its k-th nearest other one, for each k."""
    if not ks:
        return np.empty((0, len(x)))
    found = NearestNeighbors(n_neighbors=max(ks), algorithm="brute").fit(x)
    distances, _ = found.kneighbors()  # of the examples themselves, each left out of its own
    return np.square(distances[:, [k - 1 for k in ks]]).T
