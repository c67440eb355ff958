"""UDR against loops, and known answers.

The loops follow the formulas of google-research/disentanglement_lib, evaluation/udr/metrics/udr.py.
"""

import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler

from workshop.generative_models.evaluation.disentanglement import udr


def reference_strength(matrix):
    columns, rows = [], []
    for j in range(matrix.shape[1]):
        total = matrix[:, j].sum()
        columns.append(matrix[:, j].max() ** 2 / total if total else 0)
    for i in range(matrix.shape[0]):
        total = matrix[i].sum()
        rows.append(matrix[i].max() ** 2 / total if total else 0)
    return (np.mean(columns) + np.mean(rows)) / 2


def reference_udr(codes, kl, correlation, threshold):
    scaled = [
        StandardScaler().fit_transform(x) * (k > threshold) for x, k in zip(codes, kl, strict=True)
    ]
    pairs = np.zeros((len(codes), len(codes)))
    for i, x in enumerate(scaled):
        for j, y in enumerate(scaled):
            if i == j:
                continue
            if correlation == "lasso":
                matrix = np.abs(Lasso(alpha=0.1).fit(x, y).coef_).T
            else:
                matrix = np.zeros((x.shape[1], y.shape[1]))
                for a in range(x.shape[1]):
                    for b in range(y.shape[1]):
                        if np.ptp(x[:, a]) and np.ptp(y[:, b]):
                            matrix[a, b] = abs(scipy.stats.spearmanr(x[:, a], y[:, b])[0])
            pairs[i, j] = reference_strength(matrix[kl[i] > threshold][:, kl[j] > threshold])
    return [np.median(np.delete(pairs[:, i], i)) for i in range(len(codes))], pairs


def models(seed=0):
    """Five of one truth, mixed more and more; with ties, and latents that are dead or still."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate([rng.normal(size=(200, 3)), rng.integers(0, 4, (200, 1))], axis=1)
    codes, kl = [], []
    for amount in (0, 0, 0.2, 0.7, 1):
        mixture = (1 - amount) * np.eye(4)[rng.permutation(4)] + amount * rng.normal(size=(4, 4))
        noise = rng.normal(size=(200, 1))
        codes.append(np.concatenate([truth @ mixture + 0.05 * noise, noise], axis=1))
        kl.append(np.array([2.0, 1.0, 0.5, 0.02, 0.005]))
    codes[2][:, 1] = 0.1
    return codes, kl


@pytest.mark.parametrize("correlation", ["lasso", "spearman"])
@pytest.mark.parametrize("threshold", [0.01, 0.1, 0.0])
def test_scores_are_those_of_loops(correlation, threshold):
    codes, kl = models()
    scores, pairs = reference_udr(codes, kl, correlation, threshold)
    given = udr(codes, kl, correlation, threshold)
    # Descent of the lasso ends at a gap of 1e-4 of the variance; dead latents of weight 0 are in
    # the loops' design and not in ours, so that rounding may differ, the steps do not.
    np.testing.assert_allclose(given["model_scores"], scores, atol=1e-6)
    np.testing.assert_allclose(given["pairwise_scores"], pairs, atol=1e-6)
    assert given["model_scores"].argmax() < 2  # those that are not mixed


def test_defaults_are_the_lasso_and_a_hundredth_of_a_nat():
    codes, kl = models()
    given, spelled = udr(codes, kl), udr(codes, kl, "lasso", 0.01)
    assert np.array_equal(given["pairwise_scores"], spelled["pairwise_scores"])


@pytest.mark.parametrize(("correlation", "best"), [("lasso", 0.9), ("spearman", 1.0)])
def test_models_that_agree(grid, correlation, best):
    # Latents of an exact grid are orthogonal: the lasso takes its penalty, 0.1, from a weight of 1.
    codes = [grid, -grid[:, ::-1], 5 * grid + 1]
    scores = udr(codes, np.ones((3, 2)), correlation)
    assert scores["model_scores"] == pytest.approx(np.full(3, best), abs=1e-12)
    assert scores["pairwise_scores"] == pytest.approx(best * (1 - np.eye(3)), abs=1e-12)


def test_models_that_are_turned(grid, turned):
    # All weights are 1/√2 - 0.1 = w or its negative: max² / sum = w² / 2w.
    scores = udr([grid, turned], np.ones((2, 2)))
    assert scores["model_scores"] == pytest.approx(np.full(2, (0.5**0.5 - 0.1) / 2), abs=1e-4)


@pytest.mark.parametrize("correlation", ["lasso", "spearman"])
def test_models_without_information(grid, correlation):
    still, some = np.full((64, 2), 0.1), np.ones(2)
    assert udr([grid, still], [some, some], correlation)["model_scores"].tolist() == [0, 0]
    # No latent above the threshold.
    assert udr([grid, grid], [some, 0 * some], correlation)["model_scores"].tolist() == [0, 0]
    # A latent that carries nothing does not count against a model.
    best = {"lasso": 0.9, "spearman": 1.0}[correlation]
    noise = np.concatenate([grid, np.random.default_rng(0).normal(size=(64, 1))], axis=1)
    scores = udr([grid, noise], [some, [1, 1, 0.001]], correlation)
    assert scores["model_scores"] == pytest.approx(np.full(2, best), abs=1e-12)


@pytest.mark.parametrize(("correlation", "best"), [("lasso", 0.9), ("spearman", 1.0)])
def test_one_latent(grid, correlation, best):
    given = udr([grid[:, :1], -grid], [[1], [1, 1]], correlation)
    # The latent that both have, and for the larger model a second that the other lacks.
    assert given["pairwise_scores"][0, 1] == pytest.approx((best / 2 + best) / 2, abs=1e-12)
    assert given["pairwise_scores"][1, 0] == pytest.approx((best / 2 + best) / 2, abs=1e-12)


@pytest.mark.parametrize(
    ("codes", "kl", "options", "message"),
    [
        ([np.eye(3)], [np.ones(3)], {}, "at least two models, got codes of 1 and kl of 1"),
        ([np.eye(3)] * 2, [np.ones(3)], {}, "got codes of 2 and kl of 1"),
        ([np.eye(3), np.eye(4)], [np.ones(3), np.ones(4)], {}, r"same examples.*\[3, 4\]"),
        ([np.eye(3)] * 2, [np.ones(3), np.ones(2)], {}, r"udr\(kl\[1\]\): expected 3 finite"),
        ([np.eye(3)] * 2, [np.ones(3), [1, np.nan, 1]], {}, r"udr\(kl\[1\]\): expected 3 finite"),
        (
            [np.eye(3), np.full((3, 3), np.inf)],
            [np.ones(3)] * 2,
            {},
            r"udr\(codes\[1\]\): .*finite",
        ),
        ([np.ones(3)] * 2, [np.ones(3)] * 2, {}, r"udr\(codes\[0\]\): expected shape"),
        ([np.eye(3)] * 2, [np.ones(3)] * 2, {"correlation": "pearson"}, "expected one of lasso"),
        ([np.eye(3)] * 2, [np.ones(3)] * 2, {"kl_threshold": -1}, "kl_threshold=-1: expected"),
    ],
)
def test_impossible_input(codes, kl, options, message):
    with pytest.raises(ValueError, match=message):
        udr(codes, kl, **options)
