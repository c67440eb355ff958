"""Fréchet and kernel distance against closed forms, double loops and Monte Carlo."""

import numpy as np
import pytest
from scipy import linalg, stats

from workshop.generative_models.evaluation.samples import (
    density_coverage,
    pca_features,
    precision_recall,
)
from workshop.generative_models.evaluation.samples.distances import (
    frechet_distance,
    kernel_distance,
    sample_quality,
    squared_discrepancy,
)


def with_moments(mean, covariance, n, seed):
    """Return n rows whose own mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(x, rowvar=False)))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def covariance_of(dim, seed):
    factor = np.random.default_rng(seed).normal(size=(dim, dim))
    return factor @ factor.T + 0.1 * np.eye(dim)


@pytest.mark.parametrize("dim", [1, 2, 6])
def test_frechet_distance_of_gaussians_is_the_closed_form(dim):
    means = np.random.default_rng(1).normal(size=(2, dim))
    covariances = [covariance_of(dim, seed) for seed in (2, 3)]
    sets = [with_moments(m, c, n, n) for m, c, n in zip(means, covariances, (40, 70), strict=True)]
    # Dowson & Landau 1982; the square root of a product of definite matrices is real.
    root = np.real(linalg.sqrtm(covariances[0] @ covariances[1]))
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(covariances[0] + covariances[1])
    expected -= 2 * np.trace(root)
    figure = frechet_distance(*sets)
    assert figure.value == pytest.approx(expected, rel=1e-9)
    assert figure.n == 40
    assert "40 real examples and 70 samples" in figure.estimator


def test_frechet_distance_of_independent_features():
    # Of diagonal covariances it is Σ (μ - μ')² + (σ - σ')².
    a = with_moments(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 50, 0)
    b = with_moments(np.array([0.0, 1.0, 2.0]), np.diag([4.0, 4.0, 1.0]), 50, 1)
    assert frechet_distance(a, b).value == pytest.approx((0 + 1 + 4) + (1 + 0 + 4), rel=1e-10)


def test_singular_covariances_lose_nothing():
    # In a space of more dimensions than examples, a rotation of what lies in few of them.
    rng = np.random.default_rng(0)
    small = rng.normal(size=(20, 3)), 2 * rng.normal(size=(15, 3)) + 1
    basis = np.linalg.qr(rng.normal(size=(50, 3)))[0]
    expected = frechet_distance(*small)
    figure = frechet_distance(*(x @ basis.T for x in small))
    assert figure.value == pytest.approx(expected.value, rel=1e-10)
    assert figure.standard_error == pytest.approx(expected.standard_error, rel=1e-8)


def test_frechet_distance_of_equal_and_of_constant_sets():
    x = np.random.default_rng(0).normal(size=(30, 40)) * 100
    # The traces are about 4e5 and agree to some 1e-15 of that.
    assert frechet_distance(x, x[::-1]).value == pytest.approx(0, abs=1e-8)
    assert frechet_distance(x, x + 1).value == pytest.approx(40, rel=1e-9)
    assert frechet_distance(np.zeros((5, 2)), np.full((5, 2), 3.0)).value == 18.0


def repeated(figure, draws):
    rng = np.random.default_rng(0)
    drawn = [figure(rng) for _ in range(draws)]
    values = np.array([one.value for one in drawn])
    return values, np.array([one.standard_error for one in drawn])


def test_error_of_the_frechet_distance_is_the_spread_over_repeated_draws():
    values, errors = repeated(
        lambda rng: frechet_distance(rng.normal(size=(200, 2)), rng.normal(0.5, 1.5, (300, 2))), 150
    )
    # 150 draws know the spread to 6%, three times which is allowed.
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.18)
    # Biased upwards from 2 (½² + ½²) = 1, by little with so many examples.
    assert 1 < values.mean() < 1.1


def test_squared_discrepancy_is_that_of_double_loops():
    # Bińkowski et al. 2018, equation 4, with the kernel of their section 4.
    x, y = np.random.default_rng(0).normal(size=(2, 9, 4)) + np.array([0.0, 0.5])[:, None, None]
    m, total = 9, 0.0
    for i in range(m):
        for j in range(m):
            if i != j:
                total += ((x[i] @ x[j] / 4 + 1) ** 3 + (y[i] @ y[j] / 4 + 1) ** 3) / (m * (m - 1))
            total -= 2 * (x[i] @ y[j] / 4 + 1) ** 3 / m**2
    assert squared_discrepancy(x, y) == pytest.approx(total, rel=1e-10)
    # Subsets are unbiased for the whole: 4 of their own errors.
    many = kernel_distance(x, y, subsets=600)
    spread = many.standard_error / np.sqrt(4 / 5 + 1 / 600)
    assert many.value == pytest.approx(total, abs=4 * spread / np.sqrt(600))


@pytest.mark.parametrize(("size", "most"), [(1000, 1.2), (15, 1.5)])
def test_kernel_distance_is_unbiased_and_knows_its_error(size, most):
    # In one dimension (x y + 1)³ = Σ C(3, j) x^j y^j, so that MMD² = Σ C(3, j) (E x^j - E y^j)².
    moments = [[stats.norm(mean, 1).moment(j) for j in (1, 2, 3)] for mean in (0.0, 0.5)]
    expected = np.dot([3, 3, 1], np.square(np.subtract(*moments)))
    values, errors = repeated(
        lambda rng: kernel_distance(
            rng.normal(size=(60, 1)), rng.normal(0.5, 1, (60, 1)), subsets=25, subset_size=size
        ),
        100,
    )
    assert values.mean() == pytest.approx(expected, abs=4 * values.std() / np.sqrt(100))
    # 100 draws know the spread to 7%, twice which is allowed; small subsets err on the safe side.
    ratio = np.sqrt(np.mean(errors**2)) / values.std(ddof=1)
    assert 0.86 < ratio < most


def test_kernel_distance_follows_its_seed_and_takes_half_at_most():
    x, y = np.random.default_rng(0).normal(size=(2, 40, 3))
    figures = [kernel_distance(x, y, subsets=5, seed=seed) for seed in (0, 0, 1)]
    assert figures[0] == figures[1] != figures[2]
    assert "5 subsets of 20" in figures[0].estimator


def test_all_figures_at_once_are_those_of_each_function():
    rng = np.random.default_rng(0)
    train, real, fake = (rng.normal(size=(n, 3, 3, 1)) for n in (60, 50, 40))
    features = pca_features(train, dim=4)
    a, b = features(real), features(fake)
    expected = {
        "frechet_distance": frechet_distance(a, b),
        "kernel_distance": kernel_distance(a, b),
    }
    expected |= precision_recall(a, b) | density_coverage(a, b)
    assert sample_quality(real, fake, features) == expected
    assert sample_quality(real, fake, features, seed=1) != expected
    same = sample_quality(real, real)
    assert (same["precision"].value, same["recall"].value, same["coverage"].value) == (1, 1, 1)
    far = sample_quality(real, fake + 100)
    assert [far[name].value for name in ("precision", "recall", "density", "coverage")] == [0] * 4


ROWS = np.random.default_rng(0).normal(size=(9, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(ROWS[:2], ROWS), "real: expected at least 3 examples, got 2"),
        (lambda: frechet_distance(ROWS, ROWS[:, :1]), "real has 2 features, fake 1"),
        (
            lambda: frechet_distance(ROWS, ROWS * np.nan),
            "fake: expected finite numbers, got 9 rows",
        ),
        (lambda: frechet_distance(np.zeros((9, 2, 2)), ROWS), r"real: expected shape \(n, dim\)"),
        (lambda: kernel_distance(ROWS, ROWS[:3]), "fake: expected at least 4"),
        (lambda: kernel_distance(ROWS, ROWS, subsets=1), "subsets=1, .*expected 2 or more"),
        (lambda: kernel_distance(ROWS, ROWS, subset_size=0), "subset_size=0"),
        (lambda: sample_quality(ROWS[:5], ROWS), "real: expected at least 6 examples, got 5"),
        (lambda: sample_quality(ROWS, ROWS[:0]), "x has shape"),
        (lambda: sample_quality(ROWS, ROWS, lambda x: x[:7]), "7 rows for the 9 examples of real"),
        (lambda: sample_quality(ROWS, ROWS, lambda x: x[:, 0]), "features of real: expected shape"),
    ],
)
def test_impossible_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
