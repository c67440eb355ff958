"""SAP: how far each factor's best latent predicts it better than the second best."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.svm import LinearSVC

from workshop.generative_models.evaluation.disentanglement.counting import gap_of_best_two
from workshop.generative_models.evaluation.disentanglement.inputs import (
    Codes,
    Examples,
    Factors,
    Tests,
    checked,
    checked_test,
    no_constant,
)

SMALLEST_VARIANCE = 1e-12
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
        codes: (examples, latents), at least two latents; published figures rest on 10,000 examples
            and 5,000 for the test.
        factors: (examples, factors) whole numbers.
        test_codes: (test examples, latents), for the accuracy of classifiers. With `continuous`
            none are fitted, so that there is nothing to test; examples given are only checked.
        test_factors: (test examples, factors).
        continuous: whether distances between a factor's values mean something.

    Raises:
        ValueError: if there is one latent only, if a factor has one value, if test examples are
            missing, or if the arrays are not numbers that belong together.

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
        scores = shares_of_variance(x, y)
    elif test is not None:
        scores = accuracies(train, test)
    else:
        raise ValueError(
            "sap: expected test_codes and test_factors, on which the classifiers are scored; "
            "continuous=True needs neither"
        )
    return float(np.mean(gap_of_best_two(scores)))


def shares_of_variance(x: Codes, y: Factors) -> Float[np.ndarray, "latents factors"]:
    """Return Cov(z, v)² / (Var z Var v) of all pairs."""
    z, v = x - x.mean(axis=0), y - y.mean(axis=0)
    covariance = z.T @ v / (len(x) - 1)
    var_z, var_v = (np.var(a, axis=0, ddof=1) for a in (z, v))
    active = (var_z > SMALLEST_VARIANCE)[:, None]
    return np.where(active, covariance**2 / np.where(active, var_z[:, None] * var_v, 1), 0)


def accuracies(train: Examples, test: Tests) -> Float[np.ndarray, "latents factors"]:
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
