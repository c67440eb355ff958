import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from workshop.generative_models.core.likelihoods import (
    Bernoulli,
    ContinuousBernoulli,
    Laplace,
    SquaredError,
    bits_per_dim,
    create_likelihood,
)

# On both sides of every threshold of the series, 0.1 and 0.5, and where exponentials leave float32.
LOGITS = np.array(
    [0, 1e-30, 1e-6, 1e-3, 0.0999, 0.1001, 0.3, 0.4999, 0.5001, 1, 3, 10, 20], np.float32
)
LOGITS = np.concatenate([-LOGITS[::-1], LOGITS])
HUGE = np.array([-1e30, -1e13, -1e4, -100.0, 100.0, 1e4, 1e13, 1e30], np.float32)
EVERY = np.concatenate([LOGITS, HUGE])
NODES, WEIGHTS = (
    (np.polynomial.legendre.leggauss(200)[0] + 1) / 2,
    0.5 * (np.polynomial.legendre.leggauss(200)[1]),
)  # on [0, 1]


SATURATED = np.abs(EVERY) >= 100


@functools.cache
def compiled(family, method):
    """A method for single features, and its derivative by the logits."""

    def one(logits, *x):
        arguments = (a.reshape(1, 1) for a in (logits, *x))
        return getattr(family(), method)(*arguments).sum()

    return jax.jit(jax.vmap(jax.value_and_grad(one)))


def log_prob_of(family, x):
    """Values and derivatives at EVERY logit."""
    return compiled(family, "log_prob")(EVERY, np.full_like(EVERY, x))


def continuous_bernoulli_float64(logits):
    """Log normaliser, mean and variance of p(x) ~ exp(l x) on [0, 1], by quadrature."""
    l64 = np.asarray(logits, np.float64)[:, None]
    density = np.exp(l64 * NODES - np.maximum(l64, 0))
    total = density @ WEIGHTS
    mean = (density * NODES) @ WEIGHTS / total
    variance = (density * np.square(NODES - mean[:, None])) @ WEIGHTS / total
    return np.log(total) + np.maximum(l64[:, 0], 0), mean, variance


def reference(name, parameter, x):
    """Log-densities of single features by scipy, float64."""
    p, x = np.asarray(parameter, np.float64), np.asarray(x, np.float64)
    if name == "bernoulli":
        return stats.bernoulli.logpmf(x, special.expit(p))
    if name == "continuous_bernoulli":
        return p * x - continuous_bernoulli_float64(p.ravel())[0].reshape(p.shape)
    return {"gaussian": stats.norm, "laplace": stats.laplace}[name].logpdf(x, p, 0.3)


@pytest.mark.parametrize("name", ["bernoulli", "continuous_bernoulli", "gaussian", "laplace"])
def test_log_prob_is_scipys_in_nats_summed_over_each_examples_features(name):
    rng = np.random.default_rng(0)
    parameter = rng.normal(scale=3, size=(5, 3, 2, 2)).astype(np.float32)
    x = rng.random(parameter.shape).astype(np.float32)
    x = (x > 0.5).astype(np.float32) if name == "bernoulli" else x
    likelihood = create_likelihood(name, scale=0.3 if name in ("gaussian", "laplace") else 1.0)
    log_prob = likelihood.log_prob(jnp.asarray(parameter), jnp.asarray(x))
    assert log_prob.dtype == jnp.float32
    expected = reference(name, parameter, x).sum((1, 2, 3))
    # Twelve terms of up to 800, each good to a few eps of itself.
    np.testing.assert_allclose(log_prob, expected, rtol=3e-6, atol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
@pytest.mark.parametrize("scale", [0.01, 0.3, 20.0])
def test_location_scale_densities_integrate_to_one_and_to_their_mean(name, scale):
    likelihood = create_likelihood(name, scale=scale, link=jnp.tanh)
    mean = float(likelihood.mean(jnp.array([[0.7]]))[0, 0])
    assert mean == pytest.approx(np.tanh(0.7), rel=1e-6)
    # Half a line on each side of the mean, where Laplace has its kink; exp(-30) lies beyond.
    t = np.concatenate([-30 * NODES[::-1], 30 * NODES])
    weight = np.concatenate([WEIGHTS[::-1], WEIGHTS]) * 30 * scale
    x = jnp.asarray(mean + scale * t, jnp.float32)
    parameter = jnp.full((t.size, 1), mean)
    density = np.exp(np.asarray(likelihood.log_prob(parameter, x[:, None]), np.float64))
    assert density @ weight == pytest.approx(1, abs=1e-5)
    # x is rounded to float32: where scale is far below the mean, by eps / scale of a step.
    assert (density * t) @ weight == pytest.approx(0, abs=1e-5)


def test_bernoulli_probabilities_sum_to_one_and_mean_is_that_of_a_one():
    of_one, of_zero = (log_prob_of(Bernoulli, x)[0] for x in (1.0, 0.0))
    np.testing.assert_allclose(np.exp(of_one) + np.exp(of_zero), 1, rtol=0, atol=2e-6)
    mean = compiled(Bernoulli, "mean")(EVERY)[0]
    # x l - log(1 + exp(l)) errs by eps * |l|, 2e-6 at |l| = 20.
    np.testing.assert_allclose(mean, np.exp(of_one), rtol=5e-6, atol=1e-30)
    np.testing.assert_allclose(mean, special.expit(np.float64(EVERY)), rtol=1e-6, atol=1e-38)


def test_continuous_bernoulli_integrates_to_one_on_the_unit_interval():
    density = [
        np.exp(np.float64(log_prob_of(ContinuousBernoulli, x)[0][~SATURATED])) for x in NODES
    ]
    np.testing.assert_allclose(WEIGHTS @ density, 1, rtol=0, atol=1e-5)


def test_continuous_bernoulli_mean_and_its_slope_are_mean_and_variance():
    mean, slope = compiled(ContinuousBernoulli, "mean")(EVERY)
    _, expected, variance = continuous_bernoulli_float64(LOGITS)
    # Errors are those of 1/l - 1/tanh(l/2) at |l| = 0.5: eps * 2 in the mean, eps * 4 in the slope.
    np.testing.assert_allclose(mean[~SATURATED], expected, rtol=0, atol=3e-7)
    np.testing.assert_allclose(slope[~SATURATED], variance, rtol=0, atol=3e-6)


MEANS = {Bernoulli: special.expit(np.float64(LOGITS)),
         ContinuousBernoulli: continuous_bernoulli_float64(LOGITS)[1]}  # fmt: skip


@pytest.mark.parametrize("family", MEANS)
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_gradients_by_logits_are_the_data_minus_the_mean(family, x):
    # An identity of exponential families: it holds the series and the exact form to each other.
    _, grad = log_prob_of(family, x)
    # 1/l - 1/tanh(l/2) at |l| = 0.1 cancels from 10: eps * 10.
    np.testing.assert_allclose(grad[~SATURATED], np.float32(x) - MEANS[family], rtol=0, atol=3e-6)


@pytest.mark.parametrize("family", MEANS)
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_saturated_logits_have_finite_values_and_gradients(family, x):
    value, grad = log_prob_of(family, x)
    mean, slope = compiled(family, "mean")(EVERY)
    assert np.isfinite(value).all()
    ones = HUGE > 0
    np.testing.assert_allclose(grad[SATURATED], np.float32(x) - ones, rtol=0, atol=0.011)  # 1/|l|
    np.testing.assert_allclose(mean[SATURATED], ones, rtol=0, atol=0.011)
    np.testing.assert_allclose(slope[SATURATED], 0, rtol=0, atol=1.1e-4)  # 1/l²


def test_bernoulli_logits_invert_the_mean_and_stay_finite_at_its_ends():
    mean = jnp.array([[0.0, 1e-6, 0.2, 0.5, 0.99, 1.0]])
    logits = np.asarray(Bernoulli().logits(mean))
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(Bernoulli().mean(jnp.asarray(logits)), mean, rtol=1e-6, atol=1.3e-7)
    with pytest.raises(ValueError, match="outputs lacks 'logits'"):
        ContinuousBernoulli().logits(mean)


ARRAYS = hnp.arrays(np.float32, (3, 2, 2), elements=st.floats(-100, 100, width=32))


@given(ARRAYS, ARRAYS)
def test_mse_is_the_plain_sum_of_squares(mean, x):
    expected = -np.square(x.astype(np.float64) - mean).sum((1, 2))
    log_prob = SquaredError().log_prob(jnp.asarray(mean), jnp.asarray(x))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-6, atol=1e-30)


def test_bits_per_dim_of_known_cases():
    shape = (4, 2, 1)
    fair_coins = -8 * np.log(2.0)
    np.testing.assert_allclose(
        bits_per_dim(jnp.array([fair_coins, 3 * fair_coins, 0.0]), shape), [1, 3, 0], rtol=1e-6
    )
    # The uniform density on [0, 1] says nothing about bytes: all of their 8 bits.
    assert bits_per_dim(jnp.zeros(()), shape, levels=256) == 8
    # A density ten times as high everywhere saves log2(10) bits a feature.
    density = bits_per_dim(jnp.asarray(8 * np.log(10.0), jnp.float32), shape, levels=32)
    assert density == pytest.approx(5 - np.log2(10), rel=1e-6)


def test_families_by_name():
    unit = {"bce", "bernoulli", "continuous_bernoulli"}
    for name in ("mse", "bce", "bernoulli", "gaussian", "laplace", "continuous_bernoulli"):
        likelihood = create_likelihood(name, link=jnp.tanh)
        assert likelihood.support == ("unit" if name in unit else "real")
        assert likelihood.parameter == ("logits" if name in unit else "reconstructed")
        if name not in unit:
            logits = jnp.array([[-3.0, 0.0, 0.4]])
            np.testing.assert_array_equal(likelihood.mean(logits), jnp.tanh(logits))
    assert type(create_likelihood("bce")) is type(create_likelihood("bernoulli")) is Bernoulli


def test_errors_name_what_there_is():
    with pytest.raises(ValueError, match=r"likelihood='gausian'.*did you mean 'gaussian'\?"):
        create_likelihood("gausian")
    for name in ("mse", "bce", "continuous_bernoulli", "categorical"):
        with pytest.raises(
            ValueError, match=f"scale=0.5 has no meaning for the likelihood '{name}'"
        ):
            create_likelihood(name, scale=0.5)


def test_the_floor_holds_for_an_optimal_scale_of_ones_own():
    class Mine(Laplace):
        def _best_scale(self, error):
            return error.min()

    likelihood = Mine(scale="optimal")
    x = jnp.ones((2, 3))
    assert likelihood.scale_of(x, x) == np.float32(likelihood.min_scale)
