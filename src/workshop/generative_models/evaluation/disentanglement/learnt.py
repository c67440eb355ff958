"""SAP, DCI and explicitness: scores of learners that predict factors from latents."""

from typing import TypedDict

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from .counting import gap_of_best_two
from .inputs import Codes, Examples, Factors, Tests, checked, checked_test, no_constant

ITERATIONS = 1000
"""At most, for logistic regressions: scikit-learn's hundred end early where codes are large."""
_TINY = 1e-11
"""Added to importances, so that a latent that no tree looks at has a share of each factor."""
_SMALLEST_VARIANCE = 1e-12
"""A latent that varies less predicts nothing."""


def sap(
    codes: ArrayLike,
    factors: ArrayLike,
    test_codes: ArrayLike | None = None,
    test_factors: ArrayLike | None = None,
    continuous: bool = False,
) -> float:
    """Return the separated attribute predictability: does one latent predict each factor?

        SAP = 1/K Σ_k (S_(1)k - S_(2)k),

    with S_lk how well latent l alone predicts factor k: the accuracy, on the test examples, of a
    linear support vector classifier (C = 0.01, balanced classes), or for continuous factors the
    share of variance Cov(z, v)² / (Var z Var v). Constant latents predict nothing: all alike as
    classifiers, and 0 of a variance.

    Args:
        codes: (examples, latents), at least two latents.
        factors: (examples, factors) whole numbers.
        test_codes: (test examples, latents), which `continuous` does not need.
        test_factors: (test examples, factors).
        continuous: whether distances between a factor's values mean something.

    Raises:
        ValueError: for one latent only, a factor of one value, missing test examples, or arrays
            that do not fit.

    References:
        Kumar, Sattigeri, Balakrishnan. Variational Inference of Disentangled Latent Concepts from
        Unlabeled Observations. ICLR 2018. Classifier as in Locatello et al., ICML 2019.

    Examples:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> sap(factors, factors, continuous=True)
        1.0
        >>> sap(np.repeat(factors, 9, axis=0), np.repeat(factors, 9, axis=0), factors, factors)
        0.5
    """
    x, y = train = checked("sap(codes)", codes, factors, latents=2)
    no_constant("sap", y)
    test = None
    if test_codes is not None and test_factors is not None:
        test = checked_test("sap", test_codes, test_factors, train)
    if continuous:
        scores = _shares_of_variance(x, y)
    elif test is not None:
        scores = _accuracies(train, test)
    else:
        raise ValueError(
            "sap: expected test_codes and test_factors, on which the classifiers are scored; "
            "continuous=True needs neither"
        )
    return float(np.mean(gap_of_best_two(scores)))


def _shares_of_variance(x: Codes, y: Factors) -> Float[np.ndarray, "latents factors"]:
    """Return Cov(z, v)² / (Var z Var v) of all pairs."""
    z, v = x - x.mean(axis=0), y - y.mean(axis=0)
    covariance = z.T @ v / (len(x) - 1)
    var_z, var_v = (np.var(a, axis=0, ddof=1) for a in (z, v))
    active = (var_z > _SMALLEST_VARIANCE)[:, None]
    return np.where(active, covariance**2 / np.where(active, var_z[:, None] * var_v, 1), 0)


def _accuracies(train: Examples, test: Tests) -> Float[np.ndarray, "latents factors"]:
    """Return the accuracy on `test` of a classifier of each factor by each latent."""
    (x, y), (test_x, test_y) = train, test
    scores = np.empty((x.shape[1], y.shape[1]))
    for latent, factor in np.ndindex(*scores.shape):
        # Of one column scikit-learn solves the primal, which draws nothing and needs no seed.
        classifier = LinearSVC(C=0.01, class_weight="balanced")
        classifier.fit(x[:, [latent]], y[:, factor])
        scores[latent, factor] = np.mean(
            classifier.predict(test_x[:, [latent]]) == test_y[:, factor]
        )
    return scores


class DCIScores(TypedDict):
    """What `dci` returns, each from 0 to 1."""

    disentanglement: float
    completeness: float
    informativeness_train: float
    informativeness_test: float


def dci(
    codes: ArrayLike,
    factors: ArrayLike,
    test_codes: ArrayLike,
    test_factors: ArrayLike,
    *,
    seed: int = 0,
) -> DCIScores:
    """Return disentanglement, completeness and informativeness.

    Gradient-boosted trees (scikit-learn's, as it sets them) predict each factor from all latents;
    R_lk is how important latent l is to the trees of factor k, Σ_l R_lk = 1. Then

        disentanglement = Σ_l w_l (1 + Σ_k p_lk log_K p_lk),  p_lk = R_lk / Σ_k R_lk,
        completeness    = Σ_k w_k (1 + Σ_l q_lk log_L q_lk),  q_lk = R_lk / Σ_l R_lk,
        informativeness = the trees' accuracy, mean over factors,

    with w_l and w_k the share of all importance that is in row l and column k. A constant latent
    has no importance and so no weight; if all are constant, both scores are 0.

    The trees take a few minutes for 10,000 examples and a hundred values in all.

    Args:
        codes: (examples, latents), at least two latents.
        factors: (examples, factors) whole numbers, at least two factors.
        test_codes: (test examples, latents).
        test_factors: (test examples, factors).
        seed: of the order in which trees look at latents, which decides between equal splits.

    Raises:
        ValueError: for fewer than two latents or factors, a factor of one value, or arrays that do
            not fit.

    References:
        Eastwood & Williams. A Framework for the Quantitative Evaluation of Disentangled
        Representations. ICLR 2018. Trees as in Locatello et al., ICML 2019.

    Examples:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> scores = dci(factors, factors, factors, factors)
        >>> [name for name, score in scores.items() if score > 0.999]
        ['disentanglement', 'completeness', 'informativeness_train', 'informativeness_test']
    """
    x, y = checked("dci(codes)", codes, factors, latents=2, columns=2)
    no_constant("dci", y)
    test_x, test_y = checked_test("dci", test_codes, test_factors, (x, y))
    importance = np.empty((x.shape[1], y.shape[1]))
    right = np.empty((2, y.shape[1]))
    for factor, (column, test_column) in enumerate(zip(y.T, test_y.T, strict=True)):
        trees = GradientBoostingClassifier(random_state=seed).fit(x, column)
        importance[:, factor] = trees.feature_importances_
        right[0, factor] = np.mean(trees.predict(x) == column)
        right[1, factor] = np.mean(trees.predict(test_x) == test_column)
    train, test = right.mean(axis=1)
    return DCIScores(
        disentanglement=_concentration(importance),
        completeness=_concentration(importance.T),
        informativeness_train=float(train),
        informativeness_test=float(test),
    )


def _concentration(importance: Float[np.ndarray, "rows columns"]) -> float:
    """Return Σ_r w_r (1 - H(row r) / log columns), with w_r the share of importance in row r."""
    scores = 1 - entropy(importance + _TINY, base=importance.shape[1], axis=1)
    weights = importance.sum(axis=1)
    return float(np.average(scores, weights=weights if weights.any() else None))


class ExplicitnessScores(TypedDict):
    """What `explicitness` returns: 0.5 for chance, 1 for certainty."""

    train: float
    test: float


def explicitness(
    codes: ArrayLike, factors: ArrayLike, test_codes: ArrayLike, test_factors: ArrayLike
) -> ExplicitnessScores:
    """Return the explicitness: can each value of each factor be read off linearly?

        1/K Σ_k 1/V_k Σ_v AUROC(p(v_k = v | z) of one example against whether v_k = v),

    with p a logistic regression (multinomial, C = 1) on all latents at once, standardised by the
    mean and deviation of `codes`. It asks whether factors are told at all, not whether latents are
    disentangled: a rotation changes little. Constant latents are set to 0 and tell nothing.

    Args:
        codes: (examples, latents).
        factors: (examples, factors) whole numbers.
        test_codes: (test examples, latents).
        test_factors: (test examples, factors). Values that do not occur here, or not in `factors`,
            have no curve and are left out of the mean.

    Raises:
        ValueError: for a factor of one value, or none in the test that the classifier knows beside
            others, or arrays that do not fit.

    References:
        Ridgeway & Mozer. Learning Deep Disentangled Embeddings with the F-Statistic Loss. NeurIPS
        2018. Classifier as in Locatello et al., ICML 2019.

    Examples:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> explicitness(factors, factors, factors, factors)
        {'train': 1.0, 'test': 1.0}
    """
    x, y = checked("explicitness(codes)", codes, factors)
    no_constant("explicitness", y)
    test_x, test_y = checked_test("explicitness", test_codes, test_factors, (x, y))
    mean, scale = x.mean(axis=0), x.std(axis=0)
    active = np.ptp(x, axis=0) > 0  # rounding may give a constant column a deviation
    x, test_x = (np.where(active, (a - mean) / np.where(active, scale, 1), 0) for a in (x, test_x))
    scores = np.empty((2, y.shape[1]))
    for factor, (column, test_column) in enumerate(zip(y.T, test_y.T, strict=True)):
        model = LogisticRegression(max_iter=ITERATIONS).fit(x, column)
        for row, (inputs, values) in enumerate([(x, column), (test_x, test_column)]):
            areas = [
                roc_auc_score(values == value, shares)
                for value, shares in zip(model.classes_, model.predict_proba(inputs).T, strict=True)
                if 0 < np.sum(values == value) < len(values)
            ]
            if not areas:
                raise ValueError(
                    f"explicitness(test_factors): expected at least two values of factor {factor}, "
                    f"one of them among those of factors, got {np.unique(values).tolist()}; draw "
                    "more examples"
                )
            scores[row, factor] = np.mean(areas)
    train, test = scores.mean(axis=1)
    return ExplicitnessScores(train=float(train), test=float(test))
