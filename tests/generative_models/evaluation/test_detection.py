"""AUROC and average precision against double loops, scikit-learn, a textbook and Monte Carlo."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from workshop.generative_models.evaluation import detection as module
from workshop.generative_models.evaluation.detection import auroc, average_precision, detection

# Few distinct values, so that ties are the rule.
few = st.lists(st.integers(0, 5), min_size=1, max_size=12)


def labelled(normal, odd):
    return np.repeat([0, 1], [len(normal), len(odd)]), np.concatenate([normal, odd])


@given(few, few)
def test_values_are_those_of_scikit_learn_with_ties(normal, odd):
    with mock.patch.object(module, "RESAMPLES", 2):
        figures = detection(normal, odd)
    assert figures["auroc"].value == pytest.approx(roc_auc_score(*labelled(normal, odd)), abs=1e-12)
    assert figures["average_precision"].value == pytest.approx(
        average_precision_score(*labelled(normal, odd)), abs=1e-12
    )
    assert {figure.n for figure in figures.values()} == {len(normal) + len(odd)}
    known = min(len(normal), len(odd)) > 1
    assert all((figure.standard_error is not None) == known for figure in figures.values())


@given(few.filter(lambda x: len(x) > 1), few.filter(lambda x: len(x) > 1))
def test_error_of_the_auroc_is_that_of_delong_in_double_loops(normal, odd):
    # DeLong et al. 1988: ψ(x, y) = 1 if y > x, ½ if equal; V10 its mean over y's, V01 over x's.
    psi = np.array([[float(x > y) + 0.5 * (x == y) for y in normal] for x in odd])
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    expected = np.sqrt(np.var(v10, ddof=1) / len(odd) + np.var(v01, ddof=1) / len(normal))
    assert auroc(normal, odd).standard_error == pytest.approx(expected, abs=1e-12)


def test_auroc_of_the_ratings_of_hanley_and_mcneil():
    # Ratings 1 to 5 of 58 normal and 51 abnormal images (Hanley & McNeil, Radiology 1982). Area
    # 0.8932 and error 0.0307 are those of Stata's manual, [R] roctab, whose error is DeLong's.
    normal = np.repeat([1, 2, 3, 4, 5], [33, 6, 6, 11, 2])
    odd = np.repeat([1, 2, 3, 4, 5], [3, 2, 2, 11, 33])
    figure = auroc(normal, odd)
    assert (round(figure.value, 4), round(figure.standard_error, 4)) == (0.8932, 0.0307)


@pytest.mark.sampled
@pytest.mark.parametrize("figure", [auroc, average_precision])
def test_errors_are_the_spread_over_repeated_draws(figure, monkeypatch):
    monkeypatch.setattr(module, "RESAMPLES", 20)
    rng = np.random.default_rng(0)
    drawn = [figure(rng.normal(size=150), rng.normal(1, 1, 40)) for _ in range(60)]
    spread = np.std([one.value for one in drawn], ddof=1)
    # 60 draws know the spread to 1/√120 = 9%; three times that.
    assert np.mean([one.standard_error for one in drawn]) == pytest.approx(spread, rel=0.27)


def test_perfect_reversed_and_constant_scores():
    low, high = np.arange(10.0), np.arange(10.0, 15.0)
    assert [figure.value for figure in detection(low, high).values()] == [1, 1]
    assert [figure.standard_error for figure in detection(low, high).values()] == [0, 0]
    assert auroc(high, low).value == 0
    constant = detection(np.zeros(30), np.zeros(10))
    assert (constant["auroc"].value, constant["average_precision"].value) == (0.5, 0.25)
    assert "0.25 by chance" in constant["average_precision"].estimator


def test_the_seed_alone_decides_the_bootstrap():
    normal, odd = np.random.default_rng(0).normal(size=(2, 20))
    errors = [average_precision(normal, odd, seed=seed).standard_error for seed in (0, 0, 1)]
    assert errors[0] == errors[1] != errors[2]


@pytest.mark.parametrize(
    ("normal", "odd", "message"),
    [
        ([], [1.0], r"scores_normal has shape \(0,\): expected \(n,\)"),
        ([1.0], [[1.0]], r"scores_odd has shape \(1, 1\)"),
        ([1.0, np.nan], [1.0], "scores_normal: expected numbers, got NaN for 1 of 2"),
        ([1.0], [np.nan], "scores_odd: expected numbers"),
    ],
)
def test_impossible_scores_are_named(normal, odd, message):
    with pytest.raises(ValueError, match=message):
        detection(normal, odd)
