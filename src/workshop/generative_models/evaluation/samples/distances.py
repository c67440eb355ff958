"""How far samples are from data in a feature space, and every figure of their quality at once."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.linalg import svdvals

from ...core.checks import positive_int
from ..estimates import Estimate, jackknife
from .features import FeatureFunction, feature_pair, features_of, pixels
from .neighbourhoods import DENSITY_K, PRECISION_K, density_coverage, precision_recall


def sample_quality(
    real: Any, fake: Any, feature_function: FeatureFunction = pixels, *, seed: int = 0
) -> dict[str, Estimate]:
    """Return every figure of samples against data, from one computation of the features.

    The keys are `frechet_distance` and `kernel_distance`, of the functions here, and `precision`,
    `recall`, `density` and `coverage`, of `neighbourhoods`. Compare figures of one feature function
    and of equal numbers of examples only.

    Args:
        real: (n, ...) examples that the model was not trained on, for figures without a bias.
        fake: (m, ...) samples.
        feature_function: what they are compared in, such as `features.pca_features(train)`.
        seed: of the subsets of the kernel distance and the groups of the jackknife.

    Raises:
        ValueError: if there are fewer than 6 real examples or 4 samples, or the features are not
            rows of finite numbers.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(2, 50, 4))
        >>> sorted(sample_quality(*x))[:3]
        ['coverage', 'density', 'frechet_distance']
    """
    a, b = features_of("real", feature_function, real), features_of("fake", feature_function, fake)
    a, b = feature_pair(a, b, (DENSITY_K + 1, PRECISION_K + 1))
    return {
        "frechet_distance": frechet_distance(a, b, seed=seed),
        "kernel_distance": kernel_distance(a, b, seed=seed),
        **precision_recall(a, b),
        **density_coverage(a, b),
    }


def frechet_distance(real: ArrayLike, fake: ArrayLike, *, seed: int = 0) -> Estimate:
    """Return the squared Wasserstein-2 distance of the two Gaussians with the features' moments.

        ‖μ_r - μ_f‖² + tr(Σ_r + Σ_f - 2 (Σ_r Σ_f)^½)

    The estimate is biased upwards, by an amount of the order of 1/n that grows with the dimension
    and differs between models: compare at equal numbers of examples, many times the dimension. The
    error (a jackknife over 10 groups of each set) does not contain the bias.

    Args:
        real: (n, dim) features of data.
        fake: (m, dim) features of samples.
        seed: of the jackknife's groups.

    Raises:
        ValueError: if there are fewer than 3 examples of either, or the features do not match.

    References:
        Heusel et al., GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium, NeurIPS 2017; Chong & Forsyth, Effectively unbiased FID and Inception Score and
        where to find them, CVPR 2020, on the bias.

    Examples:
        >>> x = np.random.default_rng(0).normal(size=(100, 2))
        >>> round(frechet_distance(x, x + 3).value, 6)
        18.0
    """
    a, b = feature_pair(real, fake, (3, 3))
    of_a, of_b = _moments(a), _moments(b)
    # The sets are independent, so that their parts of the variance add.
    error = np.hypot(
        jackknife(lambda x: _between(_moments(x), of_b), a, groups=min(10, len(a)), seed=seed),
        jackknife(lambda x: _between(of_a, _moments(x)), b, groups=min(10, len(b)), seed=seed),
    )
    text = f"of Gaussians, biased upwards by O(1/n), {_described(a, b)}"
    return Estimate(_between(of_a, of_b), float(error), min(len(a), len(b)), text)


def _moments(x: Float[np.ndarray, "n dim"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean μ and an R with RᵀR = Σ."""
    mean = x.mean(axis=0)
    return mean, np.asarray(np.linalg.qr(x - mean, mode="r")) / np.sqrt(len(x) - 1)


def _between(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """Return the Fréchet distance of two Gaussians, as `_moments` gives them.

    tr (Σ_r Σ_f)^½ is the sum of the singular values of R_r R_fᵀ: singular covariances lose nothing.
    """
    (mean_a, root_a), (mean_b, root_b) = a, b
    traces = np.sum(np.square(root_a)) + np.sum(np.square(root_b))
    shift = np.sum(np.square(mean_a - mean_b))
    return float(max(0.0, shift + traces - 2 * np.sum(svdvals(root_a @ root_b.T))))


def kernel_distance(
    real: ArrayLike, fake: ArrayLike, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> Estimate:
    """Return the squared maximum mean discrepancy under the kernel k(x, y) = (x·y / dim + 1)³.

        E k(x, x') + E k(y, y') - 2 E k(x, y),  x ≠ x' and y ≠ y'

    averaged over random subsets of m examples of each set. It is unbiased, so it may be negative.
    The spread s over subsets is the error at m examples, which the literature quotes; subsets of
    one data set overlap, so that of n examples it is s √(m/(n - m) + 1/subsets) (the delete-d
    jackknife, and the chance of the subsets). The smaller n counts for both sets.

    Args:
        real: (n, dim) features of data.
        fake: (m, dim) features of samples.
        subsets: how many subsets.
        subset_size: examples of each set in a subset; at most half of the smaller set are taken.
        seed: of the subsets.

    Raises:
        ValueError: if there are fewer than 4 examples of either, or the features do not match.

    References:
        Bińkowski, Sutherland, Arbel & Gretton, Demystifying MMD GANs, ICLR 2018; Shao & Wu, A
        general theory for jackknife variance estimation, Annals of Statistics 1989.

    Examples:
        >>> x, y = np.random.default_rng(0).normal(size=(2, 200, 3))
        >>> near, far = kernel_distance(x, y), kernel_distance(x, y + 1)
        >>> abs(near.value) < 3 * near.standard_error, far.value > 3 * far.standard_error
        (True, True)
    """
    if positive_int("subsets", subsets) < 2 or positive_int("subset_size", subset_size) < 2:
        raise ValueError(
            f"subsets={subsets}, subset_size={subset_size}: expected 2 or more of each"
        )
    a, b = feature_pair(real, fake, (4, 4))
    n = min(len(a), len(b))
    m = min(subset_size, n // 2)
    rng = np.random.default_rng(seed)
    values = [
        squared_discrepancy(
            *(x[rng.choice(len(x), m, replace=False, shuffle=False)] for x in (a, b))
        )
        for _ in range(subsets)
    ]
    error = float(np.std(values, ddof=1) * np.sqrt(m / (n - m) + 1 / subsets))
    text = f"unbiased, mean over {subsets} subsets of {m:,}, {_described(a, b)}"
    return Estimate(float(np.mean(values)), error, n, text)


def squared_discrepancy(x: Float[np.ndarray, "m dim"], y: Float[np.ndarray, "m dim"]) -> float:
    """Return the unbiased MMD² of two sets of equal size under the cubic kernel."""
    m, dim = x.shape

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        root = a @ b.T / dim + 1
        return root * root * root  # far cheaper than a power

    def within(a: np.ndarray) -> float:
        matrix = kernel(a, a)
        return (matrix.sum() - np.trace(matrix)) / (m * (m - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def _described(real: np.ndarray, fake: np.ndarray) -> str:
    return f"{len(real):,} real examples and {len(fake):,} samples"
