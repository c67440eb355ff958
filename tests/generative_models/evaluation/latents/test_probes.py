"""Probes, against a vote counted by hand, scikit-learn itself, separable codes and noise."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from workshop.generative_models.evaluation.latents import knn_accuracy, linear_accuracy


def clusters(distance, n=120, classes=3, latents=4, seed=0):
    """Return codes and classes for training and test, around centres that far apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(2 * n) % classes
    codes = rng.normal(size=(2 * n, latents)) + distance * np.eye(classes, latents)[labels]
    return codes[:n], labels[:n], codes[n:], labels[n:]


def brute_force(codes, labels, test_codes, test_labels, k):
    hits = []
    for code, label in zip(test_codes, test_labels, strict=True):
        nearest = np.argsort(np.linalg.norm(codes - code, axis=1))[:k]
        hits.append(np.bincount(labels[nearest]).argmax() == label)
    return np.array(hits)


@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_vote_as_counted_by_hand(k):
    data = clusters(2.0)
    hits = brute_force(*data, k)
    found = knn_accuracy(*data, k=k)
    # Ties go to the lowest class in both.
    assert found.value == hits.mean()
    p, n = hits.mean(), len(hits)
    assert 0.5 < p < 1
    q = (hits.sum() + 1) / (n + 2)
    assert found.standard_error == pytest.approx(np.sqrt(q * (1 - q) / n), rel=1e-12)
    assert (found.n, found.unit) == (120, "")
    assert found.estimator == f"accuracy of {k} nearest neighbours, 120 training examples"


def test_five_neighbours_are_the_default():
    assert knn_accuracy(*clusters(1.5)) == knn_accuracy(*clusters(1.5), k=5)


def test_regression_is_that_of_scikit_learn_on_codes_standardised_by_hand():
    codes, labels, test_codes, test_labels = clusters(2.0, seed=1)
    centre, scale = codes.mean(axis=0), codes.std(axis=0)
    model = LogisticRegression(max_iter=1000).fit((codes - centre) / scale, labels)
    expected = model.score((test_codes - centre) / scale, test_labels)
    assert linear_accuracy(codes, labels, test_codes, test_labels).value == expected
    # Another scale of each latent changes nothing, nor does a latent that is constant.
    other, constant = np.array([1e-3, 1.0, 1e3, 10.0]), np.full((120, 1), 7.0)
    rescaled = [np.concatenate([c * other, constant], axis=1) for c in (codes, test_codes)]
    assert linear_accuracy(rescaled[0], labels, rescaled[1], test_labels).value == expected


@pytest.mark.parametrize("probe", [knn_accuracy, linear_accuracy])
def test_separable_codes_are_read_and_noise_is_not(probe):
    assert probe(*clusters(30.0)).value == 1.0
    noise = probe(*clusters(0.0, n=600))
    assert abs(noise.value - 1 / 3) < 4 * noise.standard_error < 0.1


def test_a_ring_is_read_by_neighbours_and_not_by_lines():
    rng = np.random.default_rng(2)
    angle, labels = rng.uniform(0, 2 * np.pi, 400), np.arange(400) % 2
    radius = np.where(labels, 3.0, 1.0)[:, None]
    codes = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    data = codes[:200], labels[:200], codes[200:], labels[200:]
    assert knn_accuracy(*data).value == 1.0
    assert linear_accuracy(*data).value < 0.65  # a line between two rings is hardly better than ½


def test_classes_may_be_text_and_unknown_ones_are_missed():
    codes, labels, test_codes, test_labels = clusters(30.0)
    names = np.array(["cat", "dog", "owl"])
    unknown = np.where(test_labels == 2, "elephant", names[test_labels])
    for probe in (knn_accuracy, linear_accuracy):
        assert probe(codes, names[labels], test_codes, unknown).value == pytest.approx(2 / 3)


X, Y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1])
NAN = np.where(X == 3, np.nan, X)
WRONG = [
    (lambda f: f(X[0], Y, X, Y), r"\(means\): expected shape \(n, latents\).*\(2,\)"),
    (lambda f: f(NAN, Y, X, Y), r"\(means\): expected finite"),
    (lambda f: f(X, Y, NAN, Y), r"\(test_means\): expected finite"),
    (lambda f: f(X, Y[:2], X, Y), r"\(labels\): expected shape \(3,\).*of means, got \(2,\)"),
    (lambda f: f(X, Y, X, Y[:, None]), r"\(test_labels\): expected shape \(3,\).*\(3, 1\)"),
    (lambda f: f(X, Y, X[:, :1], Y), r"\(test_means\): expected 2 latents.*got 1"),
    (lambda f: f(X, Y * 0, X, Y), r"\(labels\): expected at least 2 classes, got only 0"),
    (lambda f: f(X, Y * 0.5, X, Y), r"\(labels\): expected classes as whole.*float64"),
    (lambda f: f(X, Y, X[:0], Y[:0]), r"\(test_means\): expected at least 1 examples"),
]


@pytest.mark.parametrize("probe", [knn_accuracy, linear_accuracy])
@pytest.mark.parametrize(("call", "message"), WRONG)
def test_errors_name_the_argument(probe, call, message):
    with pytest.raises(ValueError, match=probe.__name__ + message):
        call(probe)


def test_neighbours_must_exist():
    with pytest.raises(ValueError, match=r"knn_accuracy: k=5: expected k <= 3"):
        knn_accuracy(X, Y, X, Y)
    with pytest.raises(ValueError, match=r"knn_accuracy: k=0"):
        knn_accuracy(X, Y, X, Y, k=0)
