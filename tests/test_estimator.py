"""The estimator: scikit-learn's own checks, and numbers against FactorAnalysis and `evaluation`."""

import inspect
import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from workshop import estimator
from workshop.estimator import VAEEstimator, numbers_of
from workshop.generative_models.evaluation import bounds

RANK, COLUMNS = 2, 5
NOISE = np.array([0.1, 0.2, 0.3, 0.5, 0.8])


# Few steps: what is checked is the manner. The shapes of the data, 12 of them, are scikit-learn's.
@pytest.mark.sampled
@parametrize_with_checks([VAEEstimator(hidden_dims=(8,), max_iter=3)])
def test_scikit_learns_own_checks(estimator, check, monkeypatch):
    # One of them passes settings of any type, which the run-time type checker would stop at.
    monkeypatch.setattr(VAEEstimator, "__init__", inspect.unwrap(VAEEstimator.__init__))
    check(estimator)


@pytest.fixture(scope="module")
def X():
    """Linear data: rank 2, and noise that differs by column."""
    random = np.random.default_rng(0)
    latents = random.standard_normal((400, RANK)) * [2.0, 1.0]
    directions = np.linalg.qr(random.standard_normal((COLUMNS, RANK)))[0]
    noise = NOISE * random.standard_normal((400, COLUMNS))
    return latents @ directions.T + noise + 0.5


@pytest.fixture(scope="module")
def best(X):
    """The best linear model with a scale for each column, which has a closed posterior."""
    return FactorAnalysis(RANK, max_iter=10_000, tol=1e-8).fit(X)


@pytest.fixture(scope="module")
def linear(X):
    return VAEEstimator(
        RANK, (8,), activation="identity", max_iter=2000, learning_rate=1e-2, random_state=0
    ).fit(X)


def test_a_linear_one_finds_what_factor_analysis_finds(X, best, linear):
    """A linear VAE with a scale for each column is factor analysis, as one with a single scale is
    probabilistic PCA (Lucas et al., NeurIPS 2019). The mean of log p(x) at the maximum is its
    `score`: no ELBO on the data it was fitted to is above it, but for the samples of z."""
    # Of 16 samples for each of 400 rows: the terms of z vary by about 1.5 nats.
    assert best.score(X) - 0.03 < linear.score(X) < best.score(X) + 4 * 1.5 / (16 * 400) ** 0.5
    # What the model implies, from its decoder W z + b and its scales: cov x = W Wᵀ + diag σ², and
    # the mean of p(z|x), which an encoder of any kind approximates.
    b = linear.inverse_transform(np.zeros((1, RANK)))
    W = linear.inverse_transform(np.eye(RANK)) - b
    x = jnp.asarray(X, jnp.float32)
    noise = np.square(np.asarray(linear.model_.likelihood.scale_of(x, x), np.float64))
    expected = best.get_covariance()
    np.testing.assert_allclose(W.T @ W + np.diag(noise), expected, atol=0.03 * expected.max())
    precision = np.eye(RANK) + W / noise @ W.T
    means = np.linalg.solve(precision, W / noise @ (X - b).T).T
    np.testing.assert_allclose(linear.transform(X), means, atol=0.1)


def test_samples_have_the_covariance_of_the_means(X, best, linear):
    """Of factor analysis: Wᵀ W."""
    expected = best.components_.T @ best.components_
    samples = linear.sample(20_000)
    # The error of a covariance from n samples is about sqrt(2/n) = 1% of the largest entries; the
    # fit itself has the rest.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.cov(samples.T), expected, atol=0.08 * scale)
    np.testing.assert_allclose(samples.mean(0), X.mean(0), atol=0.1)
    np.testing.assert_array_equal(linear.sample(3), linear.sample(3))


@pytest.fixture(scope="module")
def wine():
    return load_wine().data


@pytest.mark.slow
def test_raw_columns_are_no_trouble(wine):
    """Wine's columns have means from 0.4 to 747; the bound is in their own units."""
    fitted = VAEEstimator(2, (16,), max_iter=400, learning_rate=1e-2, random_state=0).fit(wine)
    independent = -np.log(wine.std(0)).sum() - wine.shape[1] / 2 * np.log(2 * np.pi * np.e)
    assert independent == pytest.approx(-22.5, abs=0.1)
    assert fitted.score(wine) > independent + 2
    error = fitted.inverse_transform(fitted.transform(wine)) - wine
    assert (error.std(0) < wine.std(0)).all()


@pytest.mark.slow
def test_other_units_give_the_same_model_up_to_the_log_jacobian(wine):
    short = VAEEstimator(2, (8,), max_iter=20, random_state=0)
    Z, score = short.fit_transform(wine), short.score(wine)
    for factor in (1e3, 1e-4, 1e12):
        again = clone(short).fit(factor * wine)
        np.testing.assert_allclose(again.transform(factor * wine), Z, atol=1e-3)
        # The samples of z depend on the digits of a row: 16 of each of 178 rows, of about a nat.
        found = again.score(factor * wine) + wine.shape[1] * np.log(factor)
        assert found == pytest.approx(score, abs=4 * 2**0.5 / (16 * 178) ** 0.5)


def test_standardisation_is_refused_where_it_has_no_meaning(wine):
    with pytest.raises(ValueError, match="standardize=True has no meaning"):
        VAEEstimator(likelihood="mse", standardize=True).fit(wine)


@pytest.mark.sampled
@pytest.mark.parametrize("bound", ["elbo", "importance"])
def test_scores_are_those_of_the_evaluation(X, linear, bound, monkeypatch):
    fitted = clone(linear)
    fitted.__setstate__(linear.__getstate__())
    fitted.set_params(bound=bound, draws=20)
    function = {"elbo": bounds.elbo, "importance": bounds.importance_weighted_bound}[bound]
    x = X.astype(np.float32)
    expected = function(linear.model_, x, samples=20, seed=linear.seed_)
    # The samples of z depend on what a row holds, there on its number: of one law, so that the
    # means agree within the errors of both.
    difference = fitted.score_samples(X) - expected
    assert np.abs(difference).max() > 0
    assert abs(difference.mean()) < 4 * difference.std() / len(X) ** 0.5
    monkeypatch.setattr(estimator, "numbers_of", lambda x: np.arange(len(x), dtype=np.int32))
    np.testing.assert_allclose(fitted.score_samples(X), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_importance_weighted_bound_is_the_tighter_one(X, best):
    """Of a model whose posterior is too wide, as a β far below 1 leaves it, but not far off."""
    rough = VAEEstimator(RANK, (8,), activation="identity", beta=0.3, max_iter=1500,
                         learning_rate=5e-3, draws=64, random_state=0).fit(X)  # fmt: skip
    elbo = rough.score(X)
    tight = rough.set_params(bound="importance").score(X)
    assert elbo + 0.05 < tight < best.score(X)


def test_a_row_is_told_by_what_it_holds():
    x = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]], np.float32)
    a, b, again = numbers_of(x)
    assert a == again != b
    assert numbers_of(x[::-1]).tolist() == [again, b, a]


@pytest.mark.slow
def test_a_grid_search_in_a_pipeline_finds_the_rank(X):
    pipeline = make_pipeline(
        StandardScaler(),
        VAEEstimator(hidden_dims=(8,), activation="identity", max_iter=1000, learning_rate=1e-2,
                     random_state=0),
    )  # fmt: skip
    search = GridSearchCV(pipeline, {"vaeestimator__latent_dim": np.arange(1, 3)}, cv=2).fit(X)
    assert search.best_params_ == {"vaeestimator__latent_dim": RANK}
    assert search.best_estimator_.transform(X).shape == (len(X), RANK)
    names = search.best_estimator_.get_feature_names_out()
    assert names.tolist() == ["vaeestimator0", "vaeestimator1"]


def test_a_pickle_holds_numbers_and_no_model(X, linear):
    """As workers of a parallel search send it."""
    data = pickle.dumps(linear)
    again = pickle.loads(data)
    assert b"flax" not in data
    assert b"jax" not in data
    np.testing.assert_array_equal(again.transform(X), linear.transform(X))
    np.testing.assert_array_equal(again.score_samples(X), linear.score_samples(X))
    assert again.history_ == linear.history_
    assert hasattr(linear, "model_")


@pytest.mark.sampled
@pytest.mark.parametrize(
    "change",
    [
        {"activation": "tanh"}, {"likelihood": "laplace"}, {"beta": 9.0},
        {"max_iter": 5}, {"batch_size": 7}, {"learning_rate": 0.1}, {"random_state": 1},
        {"standardize": False},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_is_read(X, change):
    base = VAEEstimator(RANK, (8,), max_iter=4, random_state=0)
    with_change = clone(base).set_params(**change).fit(X)
    assert not np.allclose(base.fit(X).transform(X), with_change.transform(X), atol=1e-6)
    assert with_change.history_[-1]["step"] == with_change.n_iter_ == with_change.max_iter


@pytest.mark.slow
def test_columns_in_the_unit_interval():
    bits = np.random.default_rng(0).random((60, 3)) < [0.1, 0.5, 0.9]
    fitted = VAEEstimator(1, (4,), likelihood="bce", max_iter=800, learning_rate=1e-2).fit(bits)
    samples = fitted.sample(200)
    assert samples.min() > 0
    assert samples.max() < 1
    # Three independent columns: a mean of 60 has an error of 0.065 at the most, of 200 less.
    np.testing.assert_allclose(samples.mean(0), bits.mean(0), atol=0.1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_iter": 0}, "max_iter=0: expected a positive integer"),
        ({"latent_dim": 0}, "latent_dim=0: expected a positive integer"),
        ({"hidden_dims": ()}, "hidden_dims="),
        ({"bound": "iwae"}, "bound='iwae': expected one of elbo, importance"),
        ({"draws": 0}, "draws=0: expected a positive integer"),
        ({"likelihood": "gausian"}, "likelihood"),
        ({"likelihood": "bce"}, r"describes data in \[0, 1\]"),
        ({"learning_rate": 0.0}, "learning_rate=0.0: expected a positive number"),
        ({"batch_size": 0}, "batch_size=0: Input should be greater than 0"),
    ],
)
def test_settings_that_make_no_sense_are_named(X, settings, said):
    with pytest.raises(ValueError, match=said):
        VAEEstimator(**settings).fit(X)


def test_misuse_is_a_sentence(X, linear):
    with pytest.raises(ValueError, match=r"shape \(400, 5\): expected \(n, 2\)"):
        linear.inverse_transform(X)
    with pytest.raises(ValueError, match="n_samples=0"):
        linear.sample(0)
    with pytest.raises(ValueError, match="5 values beyond float32"):
        linear.score_samples(np.full((1, COLUMNS), 1e300))
    for method in ("inverse_transform", "score_samples", "transform", "sample"):
        with pytest.raises(NotFittedError):
            getattr(VAEEstimator(), method)(*([] if method == "sample" else [X]))
