"""Probes: how well simple classifiers read labels from codes."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ...core.checks import positive_int
from ..arrays import finite_rows
from ..estimates import Estimate, share_of


def knn_accuracy(
    means: ArrayLike,
    labels: ArrayLike,
    test_means: ArrayLike,
    test_labels: ArrayLike,
    k: int = 5,
) -> Estimate:
    """Return the accuracy of a vote of the k nearest training codes, by Euclidean distance.

    The error is that of `estimates.share_of` over the n test examples.

    Args:
        means: (examples, latents) codes, such as means of q(z|x), to vote.
        labels: (examples,) their classes: whole numbers, text or booleans, at least two of them.
        test_means: (n, latents) codes to classify.
        test_labels: (n,) their classes; one that is not among `labels` is always missed.
        k: how many neighbours vote.

    Raises:
        ValueError: if shapes do not fit, numbers are not finite, labels are not classes or only
            one, or if `k` is more than there are examples.

    Examples:
        >>> codes, labels = [[0.0], [1.0], [5.0], [6.0]], [0, 0, 1, 1]
        >>> knn_accuracy(codes, labels, [[0.5], [5.5]], [0, 0], k=1).value
        0.5
    """
    data = _checked("knn_accuracy", means, labels, test_means, test_labels)
    k, most = positive_int("knn_accuracy: k", k), len(data[0])
    if k > most:
        raise ValueError(f"knn_accuracy: k={k}: expected k <= {most} (training examples)")
    return _accuracy(KNeighborsClassifier(k), f"{k} nearest neighbours", *data)


def linear_accuracy(
    means: ArrayLike, labels: ArrayLike, test_means: ArrayLike, test_labels: ArrayLike
) -> Estimate:
    """Return the accuracy of logistic regression on codes standardised by the training ones.

    The error is that of `estimates.share_of` over the n test examples. The regression is
    scikit-learn's, with its ridge of C = 1. The arguments and errors are those of `knn_accuracy`.

    Examples:
        >>> codes, labels = [[0.0], [1.0], [5.0], [6.0]], ["a", "a", "b", "b"]
        >>> linear_accuracy(codes, labels, [[0.5], [9.0]], ["a", "b"]).value
        1.0
    """
    data = _checked("linear_accuracy", means, labels, test_means, test_labels)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _accuracy(model, "logistic regression on standardised codes", *data)


def _accuracy(model, name: str, codes, labels, test_codes, test_labels) -> Estimate:
    hits = model.fit(codes, labels).predict(test_codes) == test_labels
    return share_of(hits, estimator=f"accuracy of {name}, {len(codes):,} training examples")


def _checked(where: str, means, labels, test_means, test_labels) -> tuple[np.ndarray, ...]:
    found = []
    for prefix, codes, given in (("", means, labels), ("test_", test_means, test_labels)):
        array, classes = finite_rows(f"{where}({prefix}means)", codes), np.asarray(given)
        if classes.shape != array.shape[:1]:
            raise ValueError(
                f"{where}({prefix}labels): expected shape ({len(array)},), a class for each row of "
                f"{prefix}means, got {classes.shape}"
            )
        if classes.dtype.kind not in "iubUS":
            raise ValueError(
                f"{where}({prefix}labels): expected classes as whole numbers, text or booleans, "
                f"got {classes.dtype}"
            )
        found += [array, classes]
    codes, classes, test_codes, _ = found
    if codes.shape[1] != test_codes.shape[1]:
        raise ValueError(
            f"{where}(test_means): expected {codes.shape[1]} latents, as means have, got "
            f"{test_codes.shape[1]}"
        )
    if len(np.unique(classes)) < 2:
        raise ValueError(
            f"{where}(labels): expected at least 2 classes, got only {classes[0].item()!r}"
        )
    return tuple(found)
