import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from flax import nnx
from scipy import optimize, stats

from workshop.generative_models.core.likelihoods import MIN_SCALE, create_likelihood

FAMILIES = {"gaussian": stats.norm, "laplace": stats.laplace}
RNG = np.random.default_rng(4)
MEAN = RNG.normal(size=(6, 3, 2)).astype(np.float32)
X = (MEAN + 0.4 * RNG.standard_t(5, size=MEAN.shape)).astype(np.float32)
families = pytest.mark.parametrize("name", FAMILIES)


def total(likelihood, mean=MEAN, x=X):
    return likelihood.log_prob(jnp.asarray(mean), jnp.asarray(x)).sum()


def total64(name, scale, mean=MEAN, x=X):
    return FAMILIES[name].logpdf(np.float64(x), np.float64(mean), scale).sum()


def scale_of(likelihood, mean=MEAN, x=X):
    return float(likelihood.scale_of(jnp.asarray(mean), jnp.asarray(x)))


@families
def test_the_optimal_scale_maximises_the_density(name):
    best = optimize.minimize_scalar(
        lambda s: -total64(name, s), bounds=(0.01, 10), options={"xatol": 1e-9}
    )
    optimal = create_likelihood(name, scale="optimal")
    # The maximum is flat: its place is known to the root of what the value is known to.
    assert scale_of(optimal) == pytest.approx(best.x, rel=1e-5)
    assert total(optimal) == pytest.approx(-best.fun, rel=1e-6)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert total(create_likelihood(name, scale=factor * best.x)) < total(optimal)


@families
def test_the_gradient_through_the_optimal_scale_is_that_with_the_scale_held(name):
    # The envelope theorem: at the maximum the density does not depend on the scale.
    optimal = create_likelihood(name, scale="optimal")
    held = create_likelihood(name, scale=scale_of(optimal))
    by_mean, by_mean_held = (
        jax.jit(jax.grad(lambda m, f=f: total(f, m)))(MEAN) for f in (optimal, held)
    )
    # What is left of two terms that cancel: a few eps of each.
    np.testing.assert_allclose(by_mean, by_mean_held, rtol=1e-5, atol=1e-5)


@families
def test_a_perfect_reconstruction_stays_finite_by_the_floor(name):
    optimal = create_likelihood(name, scale="optimal")
    assert scale_of(optimal, X, X) == pytest.approx(MIN_SCALE, rel=1e-6)
    assert total(optimal, X, X) == pytest.approx(total64(name, MIN_SCALE, X, X), rel=1e-6)
    gradient = jax.jit(jax.grad(lambda m: total(optimal, m)))
    # 0 of a square; of |error| JAX takes one end of the slopes at 0, which are -1/b to 1/b.
    steepest = {"gaussian": 0, "laplace": 1 / MIN_SCALE}[name]
    assert np.abs(gradient(X)).max() <= steepest * (1 + 1e-6)
    nearly = X + np.float32(1e-4)
    assert scale_of(optimal, nearly) == pytest.approx(MIN_SCALE, rel=1e-6)
    slope = (np.float64(X) - nearly) / MIN_SCALE**2 if name == "gaussian" else -steepest
    np.testing.assert_allclose(gradient(nearly), np.broadcast_to(slope, X.shape), rtol=1e-5)


@families
def test_the_optimal_scale_is_one_for_the_whole_batch(name):
    optimal = create_likelihood(name, scale="optimal")
    separately = sum(float(total(optimal, MEAN[i : i + 1], X[i : i + 1])) for i in range(len(X)))
    assert separately > total(optimal)
    error = np.abs(np.float64(X) - MEAN)
    expected = np.sqrt(np.mean(error**2)) if name == "gaussian" else error.mean()
    assert scale_of(optimal) == pytest.approx(expected, rel=1e-6)


def with_log_scale(name, log_scale):
    learned = create_likelihood(name, scale="learned")
    learned.log_scale[...] = jnp.float32(log_scale)
    return learned


def gradient_by_log_scale(learned):
    graph, params = nnx.split(learned)
    (leaf,) = jax.tree.leaves(jax.jit(jax.grad(lambda p: total(nnx.merge(graph, p))))(params))
    return float(leaf)


@families
@pytest.mark.parametrize("log_scale", [-9.0, -6.0, -1.0, 0.0, 2.0])
def test_a_learned_scale_has_the_right_density_and_gradient_below_its_floor_too(name, log_scale):
    learned = with_log_scale(name, log_scale)
    scale = np.exp(log_scale) + MIN_SCALE
    assert scale_of(learned) == pytest.approx(scale, rel=1e-6)
    assert total(learned) == pytest.approx(total64(name, scale), rel=2e-6)
    step = 1e-6
    up, down = (total64(name, np.exp(log_scale + s) + MIN_SCALE) for s in (step, -step))
    # float64 differences of values up to 1e6: good to 1e6 * 2e-16 / 1e-6.
    assert gradient_by_log_scale(learned) == pytest.approx((up - down) / 2 / step, rel=1e-4)


@families
def test_the_best_learned_scale_is_the_optimal_one(name):
    optimal = create_likelihood(name, scale="optimal")
    best = with_log_scale(name, np.log(scale_of(optimal) - MIN_SCALE))
    assert total(best) == pytest.approx(float(total(optimal)), rel=1e-6)
    # Two sums of 36 terms that cancel: 36 * a few eps.
    assert gradient_by_log_scale(best) == pytest.approx(0, abs=5e-5)


@families
def test_only_a_learned_scale_is_a_parameter_and_it_starts_at_one(name):
    for scale, count in (("learned", 1), ("optimal", 0), (0.7, 0)):
        likelihood = create_likelihood(name, scale=scale)
        assert len(jax.tree.leaves(nnx.state(likelihood, nnx.Param))) == count
    learned = create_likelihood(name, scale="learned")
    assert scale_of(learned) == pytest.approx(1, abs=1.1 * MIN_SCALE)


@pytest.fixture
def unchecked():
    """Let wrong types through to the library, as they come outside of the tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@families
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan, "big", None])
def test_other_scales_are_refused(name, scale):
    with pytest.raises(ValueError, match=r"scale=.*: expected a positive number, 'learned' or"):
        create_likelihood(name, scale=scale)
