"""Priors of flows: exact inverses, and densities that integrate to one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.vae.priors import CouplingPrior, MAFPrior, SplinePrior

N = 4000
EDGES = np.linspace(-8, 8, 1601)
PRIORS = {
    (name, size): functools.partial(kind, size, flows=2, hidden_dims=[6], **options)
    for size in (1, 2)
    for name, kind, options in (
        ("coupling", CouplingPrior, {}),
        ("maf", MAFPrior, {}),
        ("spline", SplinePrior, {"bins": 4}),
    )
}
each = pytest.mark.parametrize("which", PRIORS, ids=str)


def centres():
    return 0.5 * (EDGES[1:] + EDGES[:-1])


def cells(size):
    """Centres of cells; of two dimensions every fifth, on a grid."""
    axis = centres()[2::5] if size == 2 else centres()
    return np.stack(np.meshgrid(*[axis] * size, indexing="ij"), -1).reshape(-1, size)


@functools.cache
def outcome(which):
    prior = PRIORS[which](rngs=nnx.Rngs(0))
    rng = np.random.default_rng(3)
    for array in [*prior.weights.kernels, *prior.weights.biases]:
        array[...] = jnp.asarray(0.4 * rng.normal(size=array.shape), jnp.float32)
    graphdef, state = nnx.split(prior)

    @jax.jit
    def compute(state, points):
        p = nnx.merge(graphdef, state)(None, {})
        z, log_p = p.sample_and_log_prob(jax.random.key(0), (N,))
        noise, _ = p.bijection.inverse(z)
        return {
            "on_grid": p.log_prob(points),
            "z": z,
            "log_p": log_p,
            "again": p.log_prob(z),
            "noise": noise,
            "start": p.base.sample(jax.random.key(0), (N,)),
            "mean": p.mean,
            "cold": p.sample(jax.random.key(0), (2,), temperature=0.0),
        }

    points = cells(which[1]).astype(np.float32)
    return jax.tree.map(np.asarray, compute(state, points))


@pytest.mark.sampled
@each
def test_the_density_integrates_to_one(which):
    size = which[1]
    width = (EDGES[1] - EDGES[0]) * (5 if size == 2 else 1)
    total = np.exp(np.float64(outcome(which)["on_grid"])).sum() * width**size
    # The midpoint rule: splines have kinks in their second derivative, and maps steep places.
    assert total == pytest.approx(1, abs=3e-3)


@pytest.mark.sampled
@each
def test_the_inverse_is_exact(which):
    found = outcome(which)
    np.testing.assert_allclose(found["noise"], found["start"], rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(found["again"], found["log_p"], rtol=1e-4, atol=2e-3)


@each
def test_samples_have_the_density(which):
    found, size = outcome(which), which[1]
    points = cells(size)
    weights = np.exp(np.float64(found["on_grid"]))
    weights /= weights.sum()
    z = np.float64(found["z"])
    # Two moments of each entry and the product of both, within five standard errors.
    for statistic in (lambda z: z, np.square, lambda z: np.prod(z, -1, keepdims=True)):
        drawn = statistic(z)
        error = 5 * drawn.std(0) / N**0.5 + 1e-3
        assert (np.abs(drawn.mean(0) - weights @ statistic(points)) < error).all()
    # And it is far from N(0, I), or this would test nothing.
    normal = -0.5 * np.square(z).sum(-1) - size * np.log(2 * np.pi) / 2
    assert np.mean(found["log_p"] - normal) > 0.05


@each
def test_at_temperature_zero_samples_are_the_image_of_the_mean(which):
    found = outcome(which)
    np.testing.assert_allclose(found["cold"], np.stack([found["mean"]] * 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [CouplingPrior, MAFPrior, SplinePrior])
def test_a_new_prior_is_a_standard_normal(kind):
    prior = kind(3, flows=2, hidden_dims=[4], rngs=nnx.Rngs(0))
    z = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    expected = -0.5 * np.square(z).sum(-1) - 1.5 * np.log(2 * np.pi)
    found = nnx.jit(lambda prior, z: prior(None, {}).log_prob(z))(prior, z)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CouplingPrior(2), r"CouplingPrior\(rngs=None\): pass rngs"),
        (lambda: MAFPrior(2, flows=0, rngs=nnx.Rngs(0)), r"flows=0"),
        (lambda: MAFPrior(2, hidden_dims=(), rngs=nnx.Rngs(0)), r"hidden_dims=\(\)"),
        (lambda: SplinePrior(2, bins=501, rngs=nnx.Rngs(0)), r"bins=501: expected at most 500"),
        (lambda: SplinePrior(2, bound=0, rngs=nnx.Rngs(0)), r"bound=0"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
