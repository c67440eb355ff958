"""Feature functions: examples to the rows in which samples and data are compared."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier

from ...core.checks import positive_int, shape
from ...core.containers import to_array
from ...core.numbers import kind_of, not_numbers
from ..arrays import finite_rows

FeatureFunction = Callable[[Any], Any]
"""Examples of shape (n, ...) to an array of features (n, dim): any callable will do."""


def pixels(x: ArrayLike) -> Float[np.ndarray, "n dim"]:
    """Return each example as one row of its own values.

    Args:
        x: (n, ...) examples; bytes (uint8) stand for k / 255, as everywhere.

    Raises:
        ValueError: if there are no examples or no values.

    Examples:
        >>> pixels(np.zeros((5, 4, 4, 1))).shape
        (5, 16)
    """
    array = to_array("x", x)
    if kind_of(array.dtype) not in "bif":
        raise ValueError(not_numbers("x", array.dtype))
    array = array / 255 if array.dtype == np.uint8 else array.astype(np.float64)
    if array.ndim < 2 or not array.size:
        raise ValueError(f"x has shape {array.shape}: expected (n, ...), none of them 0")
    return array.reshape(len(array), -1)


def pca_features(train: ArrayLike, dim: int = 64) -> FeatureFunction:
    """Return the projection onto the first principal components of the training data.

    The components are those of the data, orthonormal and not whitened, so that distances are those
    between the images but for what the components leave out.

    Args:
        train: (n, ...) training examples.
        dim: how many components at most; there are no more than examples or values.

    Raises:
        ValueError: if `train` is empty or not finite, or `dim` is not a positive integer.

    Examples:
        >>> train = np.random.default_rng(0).normal(size=(50, 4, 4, 1))
        >>> pca_features(train, dim=3)(train[:7]).shape
        (7, 3)
    """
    rows = finite_rows("train", pixels(train), "dim", least=2)
    dim = min(positive_int("dim", dim), *rows.shape)
    fitted = PCA(dim, random_state=0).fit(rows)

    def features(x: ArrayLike) -> Float[np.ndarray, "n dim"]:
        return fitted.transform(same_size(pixels(x), rows.shape[1]))

    return features


def classifier_features(
    train_x: ArrayLike,
    train_y: ArrayLike,
    *,
    hidden: tuple[int, ...] = (256, 64),
    epochs: int = 20,
    seed: int = 0,
) -> FeatureFunction:
    """Return the last hidden layer of a small classifier of the labels, fitted here.

    A multilayer perceptron with ReLU, trained by Adam. Compare figures of one classifier only.

    Args:
        train_x: (n, ...) training examples, scaled to about [0, 1] or [-1, 1].
        train_y: (n,) labels.
        hidden: widths of the hidden layers; the last is the number of features.
        epochs: passes over the training data.
        seed: of the weights and of the order of the examples.

    Raises:
        ValueError: if examples and labels do not match, there are fewer than two classes, or an
            example is not finite.

    Examples:
        >>> x = np.repeat(np.eye(2), 10, axis=0)
        >>> features = classifier_features(x, [0] * 10 + [1] * 10, hidden=(8,), epochs=2)
        >>> features(x).shape
        (20, 8)
    """
    rows, labels = finite_rows("train_x", pixels(train_x), "dim", least=2), np.asarray(train_y)
    if labels.shape != (len(rows),):
        raise ValueError(
            f"train_y has shape {labels.shape}: expected ({len(rows)},), a label an example"
        )
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(
            f"train_y has one class ({classes[0]}): a classifier needs two; use pca_features"
        )
    widths = shape("hidden", hidden)
    # A state and not the seed, which would begin anew, with the same order, in every pass.
    classifier = MLPClassifier(widths, random_state=np.random.RandomState(seed))
    for _ in range(positive_int("epochs", epochs)):
        classifier.partial_fit(rows, labels, classes=classes)

    def features(x: ArrayLike) -> Float[np.ndarray, "n dim"]:
        h = same_size(pixels(x), rows.shape[1])
        for weights, bias in zip(classifier.coefs_[:-1], classifier.intercepts_[:-1], strict=True):
            h = np.maximum(h @ weights + bias, 0)
        return h

    return features


def same_size(
    rows: Float[np.ndarray, "n dim"], fitted: int, name: str = "x"
) -> Float[np.ndarray, "n dim"]:
    """Return rows if they have as many values as those that a feature function was fitted on."""
    if rows.shape[1] != fitted:
        raise ValueError(
            f"{name} has {rows.shape[1]} values an example: expected {fitted}, as in training"
        )
    return rows


def features_of(name: str, function: FeatureFunction, x: Any) -> Float[np.ndarray, "n dim"]:
    """Return the features of examples, checked: a row for each, of finite numbers."""
    rows = finite_rows(f"the features of {name}", function(x), "dim")
    if len(rows) != len(x):
        raise ValueError(
            f"feature_function gave {len(rows)} rows for the {len(x)} examples of {name}: expected "
            "one each"
        )
    return rows


def feature_pair(
    real: ArrayLike, fake: ArrayLike, least: tuple[int, int]
) -> tuple[Float[np.ndarray, "n dim"], Float[np.ndarray, "m dim"]]:
    """Return the features of data and samples, checked: of one size, at least so many of each."""
    a, b = (
        finite_rows(name, value, "dim", least=count)
        for name, value, count in zip(("real", "fake"), (real, fake), least, strict=True)
    )
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"real has {a.shape[1]} features, fake {b.shape[1]}: expected as many, from one "
            "feature function"
        )
    return a, b
