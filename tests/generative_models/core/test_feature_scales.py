"""A scale for each feature, initial scales from the data, and standardised units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from workshop.generative_models.core.likelihoods import MIN_SCALE, create_likelihood
from workshop.generative_models.core.moments import moments_of

FAMILIES = {"gaussian": stats.norm, "laplace": stats.laplace}
RNG = np.random.default_rng(7)
EVENT = (3, 2)
SPREAD = np.array([[1e-3, 1.0], [50.0, 2.0], [1e12, 7.0]])
CENTRE = np.array([[5.0, 0.0], [-2e3, 1.0], [3e12, -7.0]])
X = (CENTRE + SPREAD * RNG.normal(size=(200, *EVENT))).astype(np.float32)
MEAN = (CENTRE + SPREAD * RNG.normal(size=(200, *EVENT))).astype(np.float32)
families = pytest.mark.parametrize("name", FAMILIES)


def scale_of(likelihood):
    return np.asarray(likelihood.scale_of(jnp.asarray(MEAN), jnp.asarray(X)))


def total(likelihood):
    return likelihood.log_prob(jnp.asarray(MEAN), jnp.asarray(X)).sum()


@families
def test_a_scale_per_feature_has_the_density_and_gradient_of_each(name):
    likelihood = create_likelihood(name, scale="per_feature", event_shape=EVENT)
    likelihood.log_scale[...] = jnp.asarray(np.log(SPREAD), jnp.float32)
    scale = np.exp(np.float64(np.float32(np.log(SPREAD)))) + MIN_SCALE
    np.testing.assert_allclose(scale_of(likelihood), scale, rtol=1e-5)
    exact = FAMILIES[name].logpdf(np.float64(X), np.float64(MEAN), scale).sum((1, 2))
    # The exponential of 27 has 27 eps; residuals in units of the scale are about 1.
    np.testing.assert_allclose(
        likelihood.log_prob(jnp.asarray(MEAN), jnp.asarray(X)), exact, rtol=1e-4
    )
    graph, params = nnx.split(likelihood)
    (slope,) = jax.tree.leaves(jax.grad(lambda p: total(nnx.merge(graph, p)))(params))
    error = np.abs(np.float64(X) - MEAN) / scale
    power = {"gaussian": error**2, "laplace": error}[name]
    expected = (power - 1).sum(0) * (1 - MIN_SCALE / scale)  # d log scale / d log_scale
    np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=0.05)


@families
def test_learned_scales_begin_at_the_spread_of_the_data(name):
    moments = moments_of([X])
    factor = {"gaussian": 1.0, "laplace": 0.5**0.5}[name]
    each = create_likelihood(name, scale="per_feature", event_shape=EVENT)
    each.initialize(moments)
    expected = np.maximum(factor * X.std(0, dtype=np.float64), 1.1 * MIN_SCALE)
    np.testing.assert_allclose(scale_of(each), expected, rtol=1e-5)
    shared = create_likelihood(name, scale="learned")
    shared.initialize(moments)
    rms = np.sqrt(np.mean(X.var(0, dtype=np.float64)))
    assert scale_of(shared) == pytest.approx(factor * rms, rel=1e-5)


@families
@pytest.mark.parametrize("scale", ["learned", "per_feature"])
def test_what_was_trained_or_set_stays(name, scale):
    likelihood = create_likelihood(name, scale=scale, event_shape=EVENT)
    likelihood.log_scale[...] = likelihood.log_scale[...] + 0.25
    before = scale_of(likelihood)
    likelihood.initialize(moments_of([X]))
    np.testing.assert_array_equal(scale_of(likelihood), before)


def test_a_constant_feature_tells_nothing_of_its_noise():
    likelihood = create_likelihood("gaussian", scale="per_feature", event_shape=(2,))
    likelihood.initialize(moments_of([np.array([[1.0, 5.0], [3.0, 5.0]])]))
    x = jnp.zeros((1, 2))
    np.testing.assert_allclose(likelihood.scale_of(x, x), [1, 1 + MIN_SCALE], rtol=1e-6)


@families
@pytest.mark.parametrize("scale", [0.5, "learned", "per_feature", "optimal"])
def test_standardised_units_change_the_density_by_the_log_jacobian(name, scale):
    moments = moments_of([X])
    standard = create_likelihood(name, scale=scale, event_shape=EVENT, standardize=True)
    plain = create_likelihood(name, scale=scale, event_shape=EVENT)
    standard.initialize(moments)
    u = ((X - moments.mean) / moments.spread).astype(np.float32)
    plain.initialize(moments_of([u]))
    np.testing.assert_allclose(
        standard.standardized(jnp.asarray(X)), u, atol=2e-3
    )  # |mean| / spread is 5,000
    output = jnp.asarray(RNG.normal(size=X.shape), jnp.float32)
    mean = standard.mean(output)
    np.testing.assert_allclose(mean, moments.mean + moments.spread * output, rtol=1e-5, atol=1e-6)
    exact = plain.log_prob(output, jnp.asarray(u)) - np.log(moments.spread).sum()
    np.testing.assert_allclose(standard.log_prob(mean, jnp.asarray(X)), exact, rtol=1e-3, atol=2e-2)


def test_the_statistics_are_taken_once_and_are_no_parameters():
    likelihood = create_likelihood("gaussian", event_shape=EVENT, standardize=True)
    assert not jax.tree.leaves(nnx.state(likelihood, nnx.Param))
    np.testing.assert_array_equal(
        likelihood.standardized(jnp.asarray(X)), X
    )  # the identity until then
    likelihood.initialize(moments_of([X]))
    np.testing.assert_allclose(likelihood.units.mean[...], X.mean(0, dtype=np.float64), rtol=1e-6)
    likelihood.initialize(moments_of([X + 1]))
    np.testing.assert_allclose(likelihood.units.mean[...], X.mean(0, dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("name", ["mse", "bce", "continuous_bernoulli", "categorical",
                                  "discretized_logistic"])  # fmt: skip
def test_families_without_a_scale_per_feature_or_units_say_so(name):
    with pytest.raises(ValueError, match=r"standardize=True has no meaning.*'gaussian'"):
        create_likelihood(name, event_shape=EVENT, standardize=True)
    with pytest.raises(ValueError, match="scale='per_feature' has no meaning"):
        create_likelihood(name, scale="per_feature", event_shape=EVENT)


@families
@pytest.mark.parametrize("options", [{"scale": "per_feature"}, {"standardize": True}])
def test_the_shape_of_an_example_is_needed(name, options):
    with pytest.raises(ValueError, match=r"needs event_shape.*output_shape"):
        create_likelihood(name, **options)
