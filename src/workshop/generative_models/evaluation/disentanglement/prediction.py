"""Explicitness: how well a linear classifier tells each value of each factor from the others."""

from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from workshop.generative_models.evaluation.disentanglement.inputs import (
    checked,
    checked_test,
    no_constant,
)

ITERATIONS = 1000
"""At most, for logistic regressions: scikit-learn's hundred end early where codes are large."""


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
        codes: (examples, latents); published figures rest on 10,000 examples and 5,000 for the
            test.
        factors: (examples, factors) whole numbers.
        test_codes: (test examples, latents).
        test_factors: (test examples, factors). Values that do not occur here, or not in `factors`,
            have no curve and are left out of the mean.

    Raises:
        ValueError: if a factor has one value, or none in the test that the classifier knows beside
            others, or if the arrays are not numbers that belong together.

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
            curves = auroc(values[:, None] == model.classes_, model.predict_proba(inputs))
            if not curves.size:
                raise ValueError(
                    f"explicitness(test_factors): expected at least two values of factor {factor}, "
                    f"one of them among those of factors, got {np.unique(values).tolist()}; draw "
                    "more examples"
                )
            scores[row, factor] = curves.mean()
    train, test = scores.mean(axis=1)
    return ExplicitnessScores(train=float(train), test=float(test))


def auroc(
    positive: Bool[np.ndarray, "examples classes"], score: Float[np.ndarray, "examples classes"]
) -> Float[np.ndarray, " defined"]:
    """Return P(score of a positive > that of a negative) + ½ P(equal) of each class with both.

    By the rank sum of the positives (Mann & Whitney 1947), for all classes at once.
    """
    count = positive.sum(axis=0)
    defined = (count > 0) & (count < len(positive))
    positive, score, count = positive[:, defined], score[:, defined], count[defined]
    ranks = np.sum(rankdata(score, axis=0) * positive, axis=0)
    return (ranks - count * (count + 1) / 2) / (count * (len(positive) - count))
