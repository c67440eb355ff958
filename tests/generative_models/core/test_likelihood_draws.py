"""Draws from each p(x|z), against the distribution that its own `log_prob` states."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from workshop.generative_models.core.likelihoods import (
    Gaussian,
    Laplace,
    Likelihood,
    SquaredError,
    create_likelihood,
)
from workshop.generative_models.core.moments import moments_of

DRAWS = 20_000
SURE = 1e-4
"""A right sampler fails a test at this level once in 10,000 seeds; these seeds are fixed."""


@functools.partial(jax.jit, static_argnames="likelihood")
def _drawn(likelihood, parameter, key):
    return likelihood.sample(parameter, key)


def drawn(likelihood, parameter, seed=0):
    """Draws (DRAWS, ...) of one example's parameters."""
    repeated = jnp.broadcast_to(jnp.asarray(parameter, jnp.float32), (DRAWS, *parameter.shape))
    x = _drawn(likelihood, repeated, jax.random.key(seed))
    assert x.dtype == jnp.float32
    return np.asarray(x)


def cdf_by_quadrature(likelihood, parameter, low, high, points=20_001):
    """The distribution function of one feature, from exp(log_prob) and the trapezoidal rule."""
    grid = np.linspace(low, high, points)
    column = jnp.asarray(grid, jnp.float32)[:, None]
    log_prob = likelihood.log_prob(jnp.full_like(column, parameter), column)
    density = np.exp(np.asarray(log_prob, np.float64))
    steps = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2) * (grid[1] - grid[0])])
    # Dividing by the total is what makes a distribution of mse, and checks the others' norm.
    if type(likelihood) is not SquaredError:
        assert steps[-1] == pytest.approx(1, abs=2e-3)
    return lambda x: np.interp(x, grid, steps / steps[-1])


LEARNED = Laplace("learned")
LEARNED.log_scale = nnx.Param(jnp.log(0.2))
DENSITIES = {
    "mse": (create_likelihood("mse"), (-3.0, 0.4), (-9, 8)),
    "gaussian": (create_likelihood("gaussian", scale=0.3), (-1.0, 2.0), (-4, 5)),
    "laplace": (create_likelihood("laplace", scale=0.3), (-1.0, 2.0), (-6, 7)),
    "learned": (LEARNED, (0.0, 1.5), (-5, 6)),
    "continuous_bernoulli": (
        create_likelihood("continuous_bernoulli"),
        (-50.0, -3.0, -1e-3, 0.0, 1e-30, 1e-6, 2e-3, 0.4, 20.0),
        (0, 1),
    ),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_draws_follow_the_density_of_log_prob(name):
    likelihood, parameters, ends = DENSITIES[name]
    x = drawn(likelihood, np.array(parameters))
    assert np.isfinite(x).all()
    for i, parameter in enumerate(parameters):
        cdf = cdf_by_quadrature(likelihood, parameter, *ends)
        assert stats.kstest(x[:, i], cdf).pvalue > SURE, parameter
    # Features are drawn independently of one another.
    correlation = np.corrcoef(x.T)[np.triu_indices(len(parameters), 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(DRAWS)


@pytest.mark.parametrize("logit", [-1e30, -1e4, -200.0, 200.0, 1e4, 1e30])
def test_saturated_continuous_bernoullis_are_exponential_at_their_end(logit):
    x = drawn(DENSITIES["continuous_bernoulli"][0], np.array([logit]))[:, 0].astype(np.float64)
    assert 0 <= x.min() <= x.max() <= 1
    distance = 1 - x if logit > 0 else x
    # Near 1 float32 has steps of 6e-8, far above 1 / |l| there.
    expected = 1 / abs(logit)
    tolerance = 5 * expected / np.sqrt(DRAWS) + (6e-8 if logit > 0 else 0)
    assert distance.mean() == pytest.approx(expected, abs=tolerance)


DISCRETE = {
    "bce": (create_likelihood("bce"), np.array([-30.0, -2.0, 0.0, 1e-3, 3.0, 40.0]), 2),
    "discretized_logistic": (
        create_likelihood("discretized_logistic", scale=0.1, levels=5),
        np.array([-0.2, 0.0, 0.12, 0.5, 0.99, 3.0]),
        5,
    ),
    "one level": (
        create_likelihood("discretized_logistic", scale=1e-7, levels=256),
        np.array([0.0, 127 / 255, 1.0]),
        256,
    ),
    "categorical": (
        create_likelihood("categorical", levels=3),
        np.array([[0.0, 0.0, 0.0], [-2.0, 1.0, 3.0], [50.0, 0.0, 50.0], [-1e9, 0.0, -1e9]]),
        3,
    ),
}


@pytest.mark.sampled
@pytest.mark.parametrize("name", DISCRETE)
def test_draws_of_levels_have_the_probabilities_of_log_prob(name):
    likelihood, parameters, levels = DISCRETE[name]
    x = drawn(likelihood, parameters)
    values = (np.arange(levels) / (levels - 1)).astype(np.float32)
    assert np.isin(x, values).all()
    for i, parameter in enumerate(parameters):
        one = jnp.broadcast_to(jnp.asarray(parameter, jnp.float32), (levels, *parameter.shape))
        one = one[:, None]
        log_prob = likelihood.log_prob(one, jnp.asarray(values)[:, None])
        probabilities = np.exp(np.float64(log_prob))
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        counts = np.array([(x[:, i] == value).sum() for value in values])
        likely = probabilities * DRAWS > 5
        assert counts[~likely].sum() <= 20  # together they have less than 5 * levels / DRAWS
        if likely.sum() > 1:
            expected = probabilities[likely] / probabilities[likely].sum() * counts[likely].sum()
            assert stats.chisquare(counts[likely], expected).pvalue > SURE, parameter


@pytest.mark.parametrize("family", [Gaussian, Laplace])
def test_draws_have_the_scale_of_each_feature_in_the_units_of_the_data(family):
    likelihood = family("per_feature", event_shape=(3,), standardize=True)
    data = np.array([[-10.0, 0.0, 5e-3], [30.0, 1e3, 5.1e-3]], np.float32)
    likelihood.initialize(moments_of([data]))
    likelihood.log_scale[...] = jnp.log(jnp.array([0.1, 0.5, 2.0]))
    mean = likelihood.mean(jnp.array([[0.0, 1.0, -1.0]]))
    x = drawn(likelihood, np.asarray(mean[0]))
    scale = np.asarray(likelihood.scale_of(mean, mean), np.float64)
    standard = stats.norm if family is Gaussian else stats.laplace
    for i in range(3):
        standardised = (x[:, i].astype(np.float64) - float(mean[0, i])) / scale[i]
        assert stats.kstest(standardised, standard.cdf).pvalue > SURE


def test_an_optimal_scale_has_no_draws_without_data():
    for name in ("gaussian", "laplace"):
        with pytest.raises(ValueError, match=r"scale='optimal' .*fix_scale"):
            create_likelihood(name, scale="optimal").sample(jnp.zeros((2, 3)), jax.random.key(0))


def test_a_likelihood_of_ones_own_says_what_it_lacks():
    class Mine(Likelihood):
        pass

    with pytest.raises(NotImplementedError, match=r"Mine defines no sample\(parameter, key\)"):
        Mine().sample(jnp.zeros((2, 3)), nnx.Rngs(0)())
