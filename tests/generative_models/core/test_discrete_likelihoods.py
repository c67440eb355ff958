"""Probabilities of levels, against float64 formulas of NumPy and SciPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from workshop.generative_models.core.discrete_likelihoods import Categorical, DiscretizedLogistic
from workshop.generative_models.core.likelihoods import (
    Bernoulli,
    bits_per_dim,
    create_likelihood,
)

RNG = np.random.default_rng(0)
SCALES = (1e-6, 1e-3, 0.01, 0.1, 1.0, 30.0)
MEANS = np.array([-3.0, 0.0, 0.2, 0.5, 127.5 / 255, 0.999, 1.0, 4.0], np.float32)


@functools.cache
def compiled(levels):
    """The log-probability of single features under a discretised logistic, and its slopes."""

    def one(mean, scale, x):
        likelihood = DiscretizedLogistic(1.0, levels=levels)
        likelihood.scale = scale  # traced: one program for all scales
        return likelihood.log_prob(mean.reshape(1, 1), x.reshape(1, 1)).sum()

    return jax.jit(jax.vmap(jax.value_and_grad(one, argnums=(0, 1)), in_axes=(0, None, 0)))


def on_all_levels(levels, means):
    """Every pair of a mean and a level, as two flat arrays, and the levels."""
    mean, k = (a.ravel() for a in np.meshgrid(means, np.arange(levels), indexing="ij"))
    return mean, (k / (levels - 1)).astype(np.float32), k


def logistic64(mean, scale, k, levels):
    """Log-probabilities by SciPy's logistic, float64: a difference of the smaller two tails."""
    mean, k, step = np.float64(mean), np.float64(k), 1 / (levels - 1)
    upper = np.where(k == levels - 1, np.inf, k * step + step / 2)
    lower = np.where(k == 0, -np.inf, k * step - step / 2)
    below = mean > k * step
    # log(c - d) of log c and log d: by the tails on the side where they are small.
    logistic = stats.logistic(mean, np.float64(scale))
    large = np.where(below, logistic.logcdf(upper), logistic.logsf(lower))
    small = np.where(below, logistic.logcdf(lower), logistic.logsf(upper))
    return large + np.log1p(-np.exp(small - large))


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
@pytest.mark.parametrize("scale", SCALES)
def test_discretized_logistic_is_a_difference_of_cumulative_probabilities(levels, scale):
    mean, x, k = on_all_levels(levels, MEANS)
    log_prob, _ = compiled(levels)(mean, np.float32(scale), x)
    expected = logistic64(mean, np.float32(scale), k, levels)
    assert np.isfinite(expected).all()
    # Edges lie within 4 of the mean: rounded to eps / 2 of that, over the scale.
    atol = 2e-6 + 5e-7 / scale
    np.testing.assert_allclose(log_prob, expected, rtol=2e-6, atol=atol)
    # Where no probability is small, the plain formula says the same.
    step = 1 / (levels - 1)
    upper, lower = (stats.logistic.cdf(k * step + h, np.float64(mean), scale)
                    for h in (step / 2, -step / 2))  # fmt: skip
    plain = np.where(k == levels - 1, 1, upper) - np.where(k == 0, 0, lower)
    large = plain > 1e-4
    np.testing.assert_allclose(np.exp(expected)[large], plain[large], rtol=1e-6)


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
@pytest.mark.parametrize("scale", SCALES)
def test_probabilities_of_all_levels_sum_to_one(levels, scale):
    mean, x, _ = on_all_levels(levels, MEANS)
    log_prob, _ = compiled(levels)(mean, np.float32(scale), x)
    total = np.exp(np.float64(log_prob)).reshape(MEANS.size, levels).sum(1)
    # Where the mean is within the levels, the errors of two neighbours' edges mostly cancel.
    np.testing.assert_allclose(total, 1, rtol=0, atol=5e-6 + 1e-7 / scale)


def test_a_tiny_scale_is_sure_of_one_level_and_a_huge_one_halves_between_the_ends():
    levels = 16
    mean, x, k = on_all_levels(levels, np.array([0.0, 0.4, 1.0], np.float32))
    nearest = np.rint(mean * (levels - 1)) == k
    log_prob, slopes = compiled(levels)(mean, np.float32(1e-30), x)
    np.testing.assert_array_equal(log_prob[nearest], 0)
    assert (log_prob[~nearest] < -1e27).all()
    assert np.isfinite(log_prob).all()
    assert np.isfinite(slopes[0]).all()
    log_prob, slopes = compiled(levels)(mean, np.float32(1e30), x)
    ends = (k == 0) | (k == levels - 1)
    np.testing.assert_allclose(log_prob[ends], np.log(0.5), rtol=1e-6)
    # The density of a logistic at its mean is 1 / 4s.
    np.testing.assert_allclose(log_prob[~ends], np.log(1 / 15) - np.log(4e30), rtol=1e-6)
    assert np.isfinite(slopes).all()


def test_many_levels_are_the_density_times_the_step():
    levels, scale = 65536, 0.1
    k = np.array([1, 20_000, 33_333, 65_000])
    x = (k / (levels - 1)).astype(np.float32)
    log_prob, _ = compiled(levels)(np.full(4, 0.3, np.float32), np.float32(scale), x)
    density = stats.logistic.logpdf(k / (levels - 1), np.float64(np.float32(0.3)), scale)
    # The second-order term of the integral over a step is (step / s)² / 24 < 1e-9.
    np.testing.assert_allclose(log_prob, density - np.log(levels - 1), rtol=2e-6)


@pytest.mark.parametrize("scale", [0.004, 0.05, 0.7])
def test_slopes_of_the_discretized_logistic_are_finite_differences(scale):
    levels, h = 16, 1e-6
    mean, x, k = on_all_levels(levels, np.array([-0.5, 0.21, 0.6, 1.2], np.float32))
    scale = np.float64(np.float32(scale))
    _, (by_mean, by_scale) = compiled(levels)(mean, np.float32(scale), x)
    mean64 = np.float64(mean)

    def central(f):
        return (f(h * scale) - f(-h * scale)) / (2 * h * scale)

    # float64 differences with a step of h scales: good to 1e-10 / 1e-6 of the larger of f and 1.
    expected = central(lambda d: logistic64(mean64 + d, scale, k, levels))
    np.testing.assert_allclose(by_mean, expected, rtol=5e-4, atol=5e-4 / scale)
    expected = central(lambda d: logistic64(mean64, scale + d, k, levels))
    np.testing.assert_allclose(by_scale, expected, rtol=5e-4, atol=5e-3 / scale)


@given(
    mean=st.floats(-1e6, 1e6, width=32),
    log_scale=st.floats(-60, 60),
    k=st.integers(0, 255),
)
def test_the_discretized_logistic_is_finite_with_finite_slopes(mean, log_scale, k):
    x, scale = np.float32([k / 255]), np.float32(np.exp(log_scale))
    log_prob, slopes = compiled(256)(np.float32([mean]), scale, x)
    assert np.isfinite(log_prob).all()
    assert log_prob <= 1e-6
    assert np.isfinite(slopes[0]).all()
    if scale > 1e-7:  # the least that a learned one can have: with 65,536 levels
        assert np.isfinite(slopes[1]).all()


def test_a_learned_scale_starts_at_one_and_has_its_own_slope_and_floor():
    x = jnp.asarray(RNG.integers(0, 256, (3, 2, 2)) / 255, jnp.float32)
    mean = jnp.asarray(RNG.random((3, 2, 2)), jnp.float32)
    learned = create_likelihood("discretized_logistic", scale="learned", link=jnp.tanh)
    assert learned.scale_of(mean, x) == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(learned.mean(mean), jnp.tanh(mean))
    graph, params = nnx.split(learned)
    total = jax.jit(lambda p: nnx.merge(graph, p).log_prob(mean, x).sum())
    (slope,) = jax.tree.leaves(jax.grad(total)(params))
    k = np.rint(np.asarray(x) * 255)
    floor = 0.01 / 255
    ends = [logistic64(mean, np.exp(d) + floor, k, 256).sum() for d in (1e-5, -1e-5)]
    assert total(params) == pytest.approx(logistic64(mean, 1 + floor, k, 256).sum(), rel=1e-6)
    # Twelve terms near 1 that add up in float32.
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)
    learned.log_scale[...] = jnp.float32(-1e4)
    assert learned.scale_of(mean, x) == pytest.approx(floor, rel=1e-6)
    assert learned.log_prob(x, x) == pytest.approx(0, abs=1e-6)


# Categorical.


@pytest.mark.parametrize("levels", [2, 3, 17])
def test_categorical_is_the_log_of_a_softmax_summed_over_features(levels):
    logits = RNG.normal(scale=5, size=(4, 3, 2, 1, levels)).astype(np.float32)
    k = RNG.integers(0, levels, logits.shape[:-1])
    x = (k / (levels - 1)).astype(np.float32)
    log_p = special.log_softmax(np.float64(logits), axis=-1)
    expected = np.take_along_axis(log_p, k[..., None], -1).sum((1, 2, 3, 4))
    likelihood = create_likelihood("categorical", levels=levels)
    found = likelihood.log_prob(jnp.asarray(logits), jnp.asarray(x))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    # What all logits of a feature have in common changes nothing; 1e4 + l is rounded to 1e-3 / 2.
    shifted = jnp.asarray(logits) + 1e4
    again = special.log_softmax(np.float64(shifted), axis=-1)
    again = np.take_along_axis(again, k[..., None], -1).sum((1, 2, 3, 4))
    np.testing.assert_allclose(likelihood.log_prob(shifted, jnp.asarray(x)), again, rtol=2e-6)
    mean = (np.exp(log_p) * np.linspace(0, 1, levels)).sum(-1)
    np.testing.assert_allclose(likelihood.mean(jnp.asarray(logits)), mean, rtol=0, atol=3e-7)


def test_categorical_probabilities_sum_to_one_in_each_feature():
    logits = jnp.asarray(RNG.normal(scale=9, size=(1, 5, 16)), jnp.float32)
    likelihood = Categorical(16)
    each = [likelihood.log_prob(logits[:, :1], jnp.full((1, 1), k / 15))[0] for k in range(16)]
    assert np.exp(np.float64(each)).sum() == pytest.approx(1, abs=1e-6)
    value = jax.grad(lambda a: likelihood.log_prob(a, jnp.full((1, 5), 7 / 15)).sum())(logits)
    # The slope of a softmax: one for the level that there is, minus the probabilities.
    expected = (np.arange(16) == 7) - special.softmax(np.float64(logits), axis=-1)
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-6)


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=3, max_size=3))
def test_categorical_is_finite_on_any_logits(logits):
    likelihood = Categorical(3)
    array = jnp.asarray(logits, jnp.float32).reshape(1, 1, 3)
    for k in range(3):
        x = jnp.full((1, 1), k / 2)
        value, slope = jax.value_and_grad(lambda a, x=x: likelihood.log_prob(a, x).sum())(array)
        assert np.isfinite(value)
        assert value <= 0
        assert np.isfinite(slope).all()
    assert 0 <= likelihood.mean(array)[0, 0] <= 1


def test_two_levels_are_a_bernoulli():
    logits = jnp.asarray(RNG.normal(scale=20, size=(6, 7, 2)), jnp.float32)
    x = jnp.asarray(RNG.integers(0, 2, (6, 7)), jnp.float32)
    one = logits[..., 1] - logits[..., 0]
    # Sums of seven terms of up to 60.
    np.testing.assert_allclose(
        Categorical(2).log_prob(logits, x), Bernoulli().log_prob(one, x), rtol=1e-6, atol=1e-5
    )
    np.testing.assert_allclose(Categorical(2).mean(logits), Bernoulli().mean(one), atol=2e-7)
    # And two levels of a logistic: σ((μ - ½) / s) is the chance of a one.
    logistic = DiscretizedLogistic(0.25, levels=2)
    np.testing.assert_allclose(
        logistic.log_prob(0.5 + one / 4, x), Bernoulli().log_prob(one, x), rtol=2e-6, atol=1e-5
    )


@pytest.mark.parametrize("name", ["discretized_logistic", "categorical"])
def test_data_that_float32_rounded_is_taken_for_its_level(name):
    likelihood = create_likelihood(name, levels=256)
    x = np.arange(256, dtype=np.float32)[:, None] / 255
    other = (1 + np.float32(1e-6) * RNG.choice([-1, 1], x.shape)).astype(np.float32) * x
    shape = (256, 1, 256) if name == "categorical" else (256, 1)
    parameter = jnp.asarray(RNG.normal(size=shape), jnp.float32)
    for same in (other, x * np.float32(255.0) / 255, x + 0.2 / 255, np.float32(np.float16(x))):
        np.testing.assert_array_equal(
            likelihood.log_prob(parameter, jnp.asarray(same)),
            likelihood.log_prob(parameter, jnp.asarray(x)),
        )
    # Beyond the levels, which check_data refuses, nothing is NaN where it cannot look.
    assert np.isfinite(likelihood.log_prob(parameter, jnp.full((256, 1), 7.0))).all()


def test_bits_of_a_uniform_byte_are_eight():
    log_prob = Categorical(256).log_prob(jnp.zeros((1, 4, 256)), jnp.zeros((1, 4)))
    assert bits_per_dim(log_prob, (4,)) == pytest.approx(8, rel=1e-6)


def test_what_is_refused():
    for name in ("discretized_logistic", "categorical"):
        for levels in (1, 0, -1, 65537):
            with pytest.raises(ValueError, match=f"levels={levels}: expected "):
                create_likelihood(name, levels=levels)
    with pytest.raises(ValueError, match=r"scale='optimal' has no closed form .*use 'learned'"):
        DiscretizedLogistic("optimal")
    with pytest.raises(ValueError, match=r"scale=0\.0: expected a positive number"):
        DiscretizedLogistic(0.0)
    for name in ("mse", "bce", "gaussian"):
        with pytest.raises(ValueError, match=f"levels=16 has no meaning for .* '{name}'"):
            create_likelihood(name, levels=16)
    with pytest.raises(ValueError, match="outputs lacks 'logits', which Categorical reads"):
        Categorical(2).logits(jnp.zeros((1, 1)))
