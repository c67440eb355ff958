import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from workshop.generative_models.core.gaussian import (
    clip_log_var,
    kl_to_standard_normal,
    log_density,
    reparameterize,
)

CASES = [(0.0, 0.0), (1.5, -2.0), (-3.0, 1.2), (0.3, 6.0), (2.0, -9.0), (-1.0, -20.0), (0.0, 20.0)]

N = 50_000
sample = jax.jit(reparameterize)
kl_gradients = jax.jit(jax.grad(lambda m, v: kl_to_standard_normal(m, v).sum(), (0, 1)))


def drawn(mean, log_var, seed):
    """N samples as float64; one shape for all tests, so that it is compiled once."""
    key = jax.random.key(seed)
    return np.asarray(sample(jnp.full((N,), mean), jnp.full((N,), log_var), key), np.float64)


def kl_float64(mean, log_var):
    """KL by its integral, over t = (z - mean) / sigma, with scipy's densities."""
    sigma = np.exp(0.5 * log_var)

    def integrand(t):
        z = mean + sigma * t
        return stats.norm.pdf(t) * (stats.norm.logpdf(z, mean, sigma) - stats.norm.logpdf(z))

    # The mass beyond 12 standard deviations is below 1e-30.
    return integrate.quad(integrand, -12, 12, epsabs=0, epsrel=1e-10, limit=200)[0]


@pytest.mark.parametrize(("mean", "log_var"), CASES)
def test_kl_equals_its_integral(mean, log_var):
    kl = kl_to_standard_normal(jnp.array([mean]), jnp.array([log_var]))[0]
    # float32: the sum of exp (error eps * (1 + |log_var|)) and a few rounded terms.
    assert kl == pytest.approx(kl_float64(mean, log_var), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("mean", "log_var"), [(0.0, 0.0), (1.5, -2.0), (-3.0, 1.2)])
def test_kl_equals_the_mean_log_ratio_of_samples(mean, log_var):
    z = drawn(mean, log_var, seed=0)
    ratio = stats.norm.logpdf(z, mean, np.exp(0.5 * log_var)) - stats.norm.logpdf(z)
    standard_error = ratio.std() / np.sqrt(N)
    kl = float(kl_to_standard_normal(jnp.array([mean]), jnp.array([log_var]))[0])
    # Five standard errors: one false alarm in 1.7 million; 1e-5 for the case without variance.
    assert abs(kl - ratio.mean()) < 5 * standard_error + 1e-5


@given(st.floats(-20, 20, width=32), st.floats(-5, 5, width=32))
def test_kl_gradients_are_the_closed_ones(log_var, mean):
    grads = kl_gradients(jnp.array([mean]), jnp.array([log_var]))
    np.testing.assert_allclose(grads[0], [mean], rtol=1e-6)
    if abs(log_var) < 20:  # at the limits themselves the slope is that of a kink
        expected = 0.5 * np.expm1(np.float64(log_var))
        np.testing.assert_allclose(grads[1], [expected], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("extremes", [[-1e30, -100.0, -20.5], [20.5, 100.0, 1e30]])
def test_extreme_log_variance_is_clipped_with_finite_values_and_gradients(extremes):
    mean, extreme = jnp.array([0.5, 0.0, -2.0]), jnp.array(extremes)
    limit = jnp.asarray(20 * np.sign(extremes), jnp.float32)
    for function in (
        kl_to_standard_normal,
        lambda m, v: reparameterize(m, v, jax.random.key(1)),
        lambda m, v: log_density(m + 0.1, m, v),
    ):
        np.testing.assert_array_equal(function(mean, extreme), function(mean, limit))
        grads = jax.grad(lambda m, v, f=function: f(m, v).sum(), (0, 1))(mean, extreme)
        assert np.isfinite(grads).all()
        # A step against the gradient leads back inside, or stays where the value is constant.
        assert (grads[1] * np.sign(extremes) >= 0).all()
    np.testing.assert_array_equal(clip_log_var(extreme), limit)


@pytest.mark.parametrize("extreme", [-1e30, -20.5, 20.5, 1e30])
def test_the_gradient_beyond_the_clip_is_that_at_its_edge_if_it_leads_back(extreme):
    edge = 20 * np.sign(extreme)
    for back in (1, -1):  # of KL, which leads back inside on both sides, and of -KL, which does not
        gradient = jax.grad(lambda v, b=back: b * kl_to_standard_normal(jnp.zeros(()), v))
        expected = 0.5 * np.expm1(edge) if back == 1 else 0.0
        # float32 exp of 20: 20 eps.
        assert gradient(jnp.float32(extreme)) == pytest.approx(expected, rel=3e-6)
    inside = jax.grad(lambda v: jnp.sin(clip_log_var(v)))
    for log_var in (-20.0, -3.0, 0.5, 20.0):
        assert inside(jnp.float32(log_var)) == pytest.approx(np.cos(log_var), abs=1e-6)


def test_descent_brings_log_variances_back_inside():
    log_var = jnp.array([-300.0, 300.0])
    for _ in range(40):  # by sign, as Adam's first steps are
        gradient = jax.grad(lambda v: kl_to_standard_normal(jnp.zeros(2), v).sum())(log_var)
        log_var = log_var - 8 * jnp.sign(gradient)
    assert jnp.abs(log_var).max() < 20


@pytest.mark.parametrize("log_var", [1e-3, -1e-3, 1e-2])
def test_kl_keeps_digits_where_the_variance_is_nearly_one(log_var):
    exact = 0.5 * np.float64(np.float32(log_var)) ** 2 * (0.5 + np.float32(log_var) / 6)
    kl = kl_to_standard_normal(jnp.zeros((1,)), jnp.array([log_var]))[0]
    # expm1(v) - v loses eps / v of its digits, 1.2e-4 at v = 1e-3; exp(v) - 1 - v loses a tenth.
    assert kl == pytest.approx(exact, rel=5e-4)


def test_a_sample_is_the_formula_with_the_keys_noise():
    mean, log_var = (
        jnp.asarray(np.linspace(*ends, 3), jnp.float32) for ends in ((-3, 3), (-30, 6))
    )
    for key in (jax.random.key(5), jax.random.PRNGKey(5)):
        noise = np.asarray(jax.random.normal(key, (3,)), np.float64)
        sigma = np.exp(0.5 * np.clip(np.asarray(log_var, np.float64), -20, 20))
        expected = np.asarray(mean, np.float64) + sigma * noise
        np.testing.assert_allclose(reparameterize(mean, log_var, key), expected, rtol=2e-6)


def test_samples_are_normal_with_the_given_moments():
    mean, log_var = 1.7, -1.3
    z = drawn(mean, log_var, seed=2)
    sigma = np.exp(0.5 * log_var)
    # Five standard errors of a mean and of a variance of normal samples.
    assert abs(z.mean() - mean) < 5 * sigma / np.sqrt(N)
    assert abs(z.var() - sigma**2) < 5 * sigma**2 * np.sqrt(2 / N)
    assert stats.kstest((z - mean) / sigma, "norm").pvalue > 1e-3


def test_another_key_gives_another_sample_and_examples_are_independent():
    a, b = drawn(0.0, 0.0, seed=0), drawn(0.0, 0.0, seed=1)
    # Correlations of independent samples have a standard error of 1 / sqrt(N).
    assert abs(np.corrcoef(a[::2], a[1::2])[0, 1]) < 5 / np.sqrt(N / 2)
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(N)


def test_sample_gradients_are_one_and_finite_differences():
    mean, log_var = jnp.array([0.5, -1.0, 2.0]), jnp.array([-4.0, 0.3, 3.0])
    key = jax.random.key(3)

    def total(m, v):
        return reparameterize(m, v, key).sum()

    by_mean, by_log_var = jax.grad(total, (0, 1))(mean, log_var)
    np.testing.assert_array_equal(by_mean, np.ones(3))
    noise = np.asarray(jax.random.normal(key, (3,)), np.float64)
    step, v = 1e-5, np.asarray(log_var, np.float64)
    difference = (np.exp(0.5 * (v + step)) - np.exp(0.5 * (v - step))) / (2 * step) * noise
    # Central differences err by step² / 24, float32 by a few eps.
    np.testing.assert_allclose(by_log_var, difference, rtol=5e-6)


def test_samples_have_the_type_of_the_mean():
    half = jax.ShapeDtypeStruct((4,), jnp.bfloat16)
    assert jax.eval_shape(reparameterize, half, half, jax.random.key(0)).dtype == jnp.bfloat16


@given(
    st.floats(-50, 50, width=32), st.floats(-50, 50, width=32), st.floats(-12, 12, width=32)
)  # fmt: skip
def test_log_density_is_scipys(value, mean, log_var):
    ours = float(log_density(jnp.array([value]), jnp.array([mean]), jnp.array([log_var]))[0])
    expected = stats.norm.logpdf(value, mean, np.exp(0.5 * np.float64(log_var)))
    # exp(-log_var) is good to eps * 12; the terms are at most |expected| + 12.
    assert ours == pytest.approx(expected, rel=5e-6, abs=5e-6)
