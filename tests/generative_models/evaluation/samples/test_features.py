"""Feature functions against numpy and scikit-learn."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from workshop.generative_models.evaluation.samples import features as module
from workshop.generative_models.evaluation.samples.features import (
    classifier_features,
    features_of,
    pca_features,
    pixels,
)

X, Y = load_digits(return_X_y=True)
X = (X / 16).reshape(-1, 8, 8, 1)


def test_pixels_are_the_values_in_order():
    x = np.arange(24).reshape(2, 3, 4, 1)
    assert pixels(x).tolist() == np.arange(24.0).reshape(2, 12).tolist()


def test_pca_is_the_singular_value_decomposition_of_the_training_data():
    train, test = X[:300], X[300:320]
    rows = train.reshape(300, -1)
    vectors = np.linalg.svd(rows - rows.mean(axis=0))[2]
    expected = (test.reshape(20, -1) - rows.mean(axis=0)) @ vectors[:10].T
    # The sign of a component is free.
    np.testing.assert_allclose(
        np.abs(pca_features(train, 10)(test)), np.abs(expected), rtol=0, atol=1e-9
    )


def test_there_are_no_more_components_than_examples_or_values():
    assert pca_features(X[:20])(X[:3]).shape == (3, 20)
    full = pca_features(X, dim=100)(X[:30])
    assert full.shape == (30, 64)
    # All components keep all distances.
    a, b = full, pixels(X[:30])
    np.testing.assert_allclose(
        np.linalg.norm(a[:, None] - a, axis=-1), np.linalg.norm(b[:, None] - b, axis=-1), atol=1e-9
    )


def test_classifier_features_are_what_its_last_layer_reads(monkeypatch):
    fitted = []

    def recorded(*args, **kwargs):
        fitted.append(MLPClassifier(*args, **kwargs))
        return fitted[-1]

    monkeypatch.setattr(module, "MLPClassifier", recorded)
    features = classifier_features(X[:200], Y[:200], hidden=(20, 7), epochs=3)
    found = features(X[200:220])
    assert found.shape == (20, 7)
    weights, bias = fitted[0].coefs_[-1], fitted[0].intercepts_[-1]
    expected = fitted[0].predict_proba(pixels(X[200:220]))
    np.testing.assert_allclose(softmax(found @ weights + bias, axis=1), expected, atol=1e-12)
    assert fitted[0].t_ == 3 * 200


@pytest.mark.slow
def test_classifier_features_tell_digits_apart_and_follow_their_seed():
    features = classifier_features(X[:1200], Y[:1200], hidden=(64, 32))
    neighbours = KNeighborsClassifier(5).fit(features(X[:1200]), Y[:1200])
    # Pixels themselves have 0.95; chance is 0.1.
    assert neighbours.score(features(X[1200:]), Y[1200:]) > 0.9
    small = [
        classifier_features(X[:50], Y[:50], hidden=(4,), epochs=1, seed=seed)(X[:5])
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(small[0], small[1])
    assert not np.array_equal(small[0], small[2])


def test_any_callable_is_a_feature_function():
    def means(x):
        return x.mean(axis=(1, 2))

    assert features_of("real", means, X[:6]).tolist() == X[:6].mean(axis=(1, 2)).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pixels(np.zeros(3)), r"x has shape \(3,\): expected \(n, ...\)"),
        (lambda: pixels(np.zeros((0, 3))), "none of them 0"),
        (lambda: pca_features(X[:1]), "train: expected at least 2 examples, got 1"),
        (
            lambda: pca_features(X * np.nan),
            "train: expected finite numbers, got 1,797 rows of 1,797",
        ),
        (lambda: pca_features(X, 0), "dim=0: expected a positive"),
        (lambda: pca_features(X[:9])(X[:, :4]), "x has 32 values an example: expected 64"),
        (lambda: classifier_features(X[:9], Y[:8]), r"train_y has shape \(8,\): expected \(9,\)"),
        (lambda: classifier_features(X[:9], np.ones(9)), "one class .*use pca_features"),
        (lambda: classifier_features(X[:9], Y[:9], hidden=()), "at least one size"),
        (lambda: classifier_features(X[:9], Y[:9], hidden=(0,)), "hidden=0"),
        (lambda: classifier_features(X[:9], Y[:9], epochs=0), "epochs=0"),
        (lambda: features_of("fake", lambda x: x, X[:4]), "the features of fake: expected shape"),
        (lambda: features_of("fake", lambda x: x[:2, 0, 0], X[:4]), "2 rows for the 4 examples"),
        (lambda: features_of("fake", lambda x: pixels(x) / np.nan, X[:4]), "expected finite"),
    ],
)
def test_impossible_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
