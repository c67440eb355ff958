"""Signs of copying against enumeration, scipy and samples that copy a known share."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import spatial, stats

from workshop.generative_models.evaluation.samples import (
    copying,
    copying_verdict,
    nearest_training_neighbours,
)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5), st.integers(0, 99))
def test_neighbours_are_those_of_brute_force(m, n, dim, seed):
    rng = np.random.default_rng(seed)
    # Far from the origin a product of the rows alone would have no digits left.
    samples, train = rng.normal(size=(m, dim)) + 1e6, rng.normal(size=(n, dim)) + 1e6
    distances = spatial.distance.cdist(samples, train)
    found = nearest_training_neighbours(samples, train)
    assert found.indices.tolist() == distances.argmin(axis=1).tolist()
    # Differences of numbers near 1e6 are exact to 1e-10.
    np.testing.assert_allclose(found.distances, distances.min(axis=1), rtol=0, atol=1e-9)


def test_images_are_compared_over_all_values_and_copies_are_at_zero():
    train = np.random.default_rng(0).uniform(size=(20, 4, 4, 3)).astype(np.float32)
    found = nearest_training_neighbours(train[[7, 3]], train)
    assert found.indices.tolist() == [7, 3]
    assert found.distances.tolist() == [0.0, 0.0]


def test_expectation_and_error_are_those_over_all_deals():
    rng = np.random.default_rng(0)
    # 25 samples around 3 of 6 examples, so that they are far from independent.
    pool = rng.normal(size=(6, 2))
    samples = pool[rng.integers(0, 3, 25)] + 0.3 * rng.normal(size=(25, 2))
    figures = []
    for seen in combinations(range(6), 4):
        held_out = [i for i in range(6) if i not in seen]
        figures.append(copying(samples, pool[list(seen)], pool[held_out])["copied"])
    values = np.array([figure.value for figure in figures])
    assert len(values) == 15
    assert values.mean() == pytest.approx(0, abs=1e-12)
    for figure in figures:
        assert figure.standard_error == pytest.approx(values.std(), rel=1e-9)


def test_nearer_than_held_out_is_the_statistic_of_mann_and_whitney():
    rng = np.random.default_rng(0)
    train, held_out = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    samples = 0.7 * rng.normal(size=(25, 3))
    distances = [spatial.distance.cdist(x, train).min(axis=1) for x in (held_out, samples)]
    # Meehan et al. 2020, section 3: U of the held-out distances over those of the samples.
    expected = stats.mannwhitneyu(*distances).statistic / (20 * 25)
    figure = copying(samples, train, held_out)["nearer_than_held_out"]
    assert figure.value == pytest.approx(expected, abs=1e-12)
    assert "30 training examples" in figure.estimator


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_known_share_of_copies_is_found(share):
    rng = np.random.default_rng(1)
    train, held_out, fresh = (rng.normal(size=(n, 6)) for n in (400, 300, 300))
    copies = train[:300] + 0.01 * rng.normal(size=(300, 6))
    samples = np.where(np.arange(300)[:, None] < share * 300, copies, fresh)
    figures = copying(samples, train, held_out)
    copied = figures["copied"]
    # The error is that without copies; with them it is smaller.
    assert copied.value == pytest.approx(share, abs=3 * copied.standard_error)
    verdict = copying_verdict(figures)
    if share:
        assert verdict.startswith(f"about {copied.value:.0%} of samples (± ")
        assert "stop earlier" in verdict
    else:
        assert verdict is None
        nearer = figures["nearer_than_held_out"]
        assert nearer.value == pytest.approx(0.5, abs=3 * nearer.standard_error)


def test_blurred_samples_are_no_copies():
    # Averages lie nearer to any example than examples do to each other.
    rng = np.random.default_rng(0)
    train, held_out = rng.normal(size=(2, 200, 10))
    figures = copying(0.3 * rng.normal(size=(100, 10)), train, held_out)
    assert figures["nearer_than_held_out"].value > 0.9
    assert copying_verdict(figures) is None


def test_what_both_sets_have_counts_half():
    blank = np.zeros((4, 2))
    assert copying(blank, blank, blank)["copied"].value == 0
    assert copying(blank, blank, blank)["nearer_than_held_out"].value == 0.5


ROWS = np.random.default_rng(0).normal(size=(9, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nearest_training_neighbours(ROWS, ROWS[:, :1]), "samples has 2 values an example"),
        (lambda: nearest_training_neighbours(ROWS[:0], ROWS), r"x has shape \(0, 2\)"),
        (lambda: copying(ROWS * np.nan, ROWS, ROWS), "samples: expected finite"),
        (lambda: copying(ROWS, ROWS[:, :1], ROWS), "train has 1 values an example: expected 2"),
        (lambda: copying(ROWS, ROWS, ROWS[:, :1]), "held_out has 1 values an example"),
        (lambda: copying(ROWS, ROWS, ROWS[:0]), r"x has shape \(0, 2\)"),
    ],
)
def test_impossible_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
