"""DCI: disentanglement, completeness and informativeness, from what boosted trees look at."""

from typing import TypedDict

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.ensemble import GradientBoostingClassifier

from workshop.generative_models.evaluation.disentanglement.inputs import (
    checked,
    checked_test,
    no_constant,
)

TINY = 1e-11
"""Added to importances, so that a latent that no tree looks at has a share of each factor."""


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

    The trees take their time: about K times the number of values × 100 trees, a few minutes for
    10,000 examples and a hundred values in all.

    Args:
        codes: (examples, latents), at least two latents; published figures rest on 10,000 examples
            and 5,000 for the test.
        factors: (examples, factors) whole numbers, at least two factors.
        test_codes: (test examples, latents).
        test_factors: (test examples, factors).
        seed: of the order in which trees look at latents, which decides between equal splits.

    Raises:
        ValueError: if there are fewer than two latents or factors, where a logarithm of base 1
            would be asked for, if a factor has one value, or if the arrays are not numbers that
            belong together.

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
        disentanglement=concentration(importance),
        completeness=concentration(importance.T),
        informativeness_train=float(train),
        informativeness_test=float(test),
    )


def concentration(importance: Float[np.ndarray, "rows columns"]) -> float:
    """Return Σ_r w_r (1 - H(row r) / log columns), with w_r the share of importance in row r."""
    shares = importance + TINY
    shares /= shares.sum(axis=1, keepdims=True)
    scores = 1 + np.sum(shares * np.log(shares), axis=1) / np.log(importance.shape[1])
    weights = importance.sum(axis=1)
    if not weights.any():
        weights = np.ones_like(weights)
    return float(np.average(scores, weights=weights))
