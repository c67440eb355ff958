"""Precision, recall, density and coverage against double loops and expectations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.generative_models.evaluation.samples import (
    density_coverage,
    neighbourhoods,
    precision_recall,
)


def squared(x, y):
    return int(np.sum((x - y) ** 2)) if x.dtype.kind == "i" else float(np.sum((x - y) ** 2))


def radii(x, k):
    """Squared distance to the k-th nearest other example."""
    return [
        sorted(squared(a, b) for j, b in enumerate(x) if j != i)[k - 1] for i, a in enumerate(x)
    ]


def in_loops(real, fake, k):
    """The formulas of Kynkäänniemi et al. 2019 and Naeem et al. 2020, of closed balls.

    They are those of clovaai/generative-evaluation-prdc but for <, an open ball, there.
    """
    balls, balls_of_fake = radii(real, k), radii(fake, k)
    n, m = len(real), len(fake)
    inside = np.array([[squared(real[i], fake[j]) <= balls[i] for j in range(m)] for i in range(n)])
    of_fake = [any(squared(x, fake[j]) <= balls_of_fake[j] for j in range(m)) for x in real]
    return {
        "precision": np.mean([any(inside[:, j]) for j in range(m)]),
        "recall": np.mean(of_fake),
        "density": inside.sum() / (k * m),
        "coverage": np.mean([any(inside[i]) for i in range(n)]),
    }


def values(figures):
    return {name: figure.value for name, figure in figures.items()}


@given(
    st.integers(1, 4), st.integers(5, 20), st.integers(5, 20), st.integers(1, 3), st.integers(0, 99)
)
def test_figures_are_those_of_double_loops_with_ties_and_duplicates(k, n, m, dim, seed):
    # On a grid far from the origin, where distances are whole numbers, and most of them ties.
    rng = np.random.default_rng(seed)
    real, fake = rng.integers(0, 4, (n, dim)) + 1000, rng.integers(1, 5, (m, dim)) + 1000
    expected = in_loops(real, fake, k)
    figures = precision_recall(real, fake, k) | density_coverage(real, fake, k)
    assert values(figures) == pytest.approx(expected, abs=1e-12)
    assert [f.n for f in figures.values()] == [m, n, m, n]


@pytest.mark.parametrize("entries", [1, 100, 10**6])
def test_figures_are_those_of_double_loops_in_blocks_of_any_size(monkeypatch, entries):
    monkeypatch.setattr(neighbourhoods, "BLOCK", entries)
    real, fake = np.random.default_rng(0).normal(size=(2, 30, 5))
    figures = precision_recall(real, fake + 0.3, 3) | density_coverage(real, fake + 0.3, 3)
    assert values(figures) == pytest.approx(in_loops(real, fake + 0.3, 3), abs=1e-12)


def test_errors_are_those_of_shares():
    real, fake = np.random.default_rng(0).normal(size=(2, 50, 3))
    figures = precision_recall(real, fake) | density_coverage(real, fake)
    for name in ("precision", "recall", "coverage"):
        p = figures[name].value
        assert 0 < p < 1
        q = (50 * p + 1) / 52
        assert figures[name].standard_error == pytest.approx(np.sqrt(q * (1 - q) / 50), rel=1e-9)


@pytest.mark.slow
def test_expectations_under_equal_distributions():
    # Density 1; coverage 1 - Π_i (n - i)/(n + m - i), the chance that none of the m samples is
    # among the k nearest of the n - 1 + m others.
    rng, k, n, m = np.random.default_rng(0), 2, 12, 15
    drawn = [
        values(density_coverage(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)), k))
        for _ in range(100)
    ]
    exact = 1 - (n - 1) * (n - 2) / ((n + m - 1) * (n + m - 2))
    for name, expected in (("density", 1.0), ("coverage", exact)):
        found = np.array([one[name] for one in drawn])
        assert found.mean() == pytest.approx(expected, abs=4 * found.std() / np.sqrt(100))


def test_equal_disjoint_and_collapsed_sets():
    x = np.random.default_rng(0).normal(size=(40, 3))
    assert values(precision_recall(x, x)) == {"precision": 1, "recall": 1}
    # Each of 40 closed balls holds its centre and its k neighbours.
    assert values(density_coverage(x, x, 4)) == {"density": 5 / 4, "coverage": 1}
    assert values(precision_recall(x, x + 100)) == {"precision": 0, "recall": 0}
    assert values(density_coverage(x, x + 100)) == {"density": 0, "coverage": 0}
    # One real example again and again: near data, but no datum other than itself is near it.
    assert values(precision_recall(x, x[:1].repeat(10, 0))) == {"precision": 1, "recall": 1 / 40}
    # Duplicates in the data are found, though their balls have no extent.
    assert values(precision_recall(np.ones((9, 2)), np.ones((9, 2)))) == {
        "precision": 1,
        "recall": 1,
    }


ROWS = np.random.default_rng(0).normal(size=(9, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: precision_recall(ROWS[:3], ROWS), "real: expected at least 4 examples, got 3"),
        (lambda: precision_recall(ROWS, ROWS[:4], 4), "fake: expected at least 5"),
        (lambda: density_coverage(ROWS[:5], ROWS), "real: expected at least 6"),
        (lambda: density_coverage(ROWS, ROWS[:0]), "fake: expected at least 1"),
        (lambda: precision_recall(ROWS, ROWS, 0), "k=0: expected a positive"),
        (lambda: density_coverage(ROWS, ROWS[:, :1]), "real has 2 features, fake 1"),
        (lambda: density_coverage(ROWS, ROWS / 0.0 * 0), "fake: expected finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_impossible_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_sample_has_a_density():
    # No balls around samples are needed for it.
    assert density_coverage(ROWS, ROWS[:1])["density"].standard_error is None
