"""The resampled prior: density, normaliser, moving average and sampler."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from prior_models import X, check_resumes_and_saves, model_with
from scipy.special import expit
from scipy.stats import norm

from workshop.generative_models.core.configuration import ResampledConfig
from workshop.generative_models.core.distributions import NormaliserEstimate, ResampledNormal
from workshop.generative_models.models.vae.priors import ResampledPrior

GRID = np.linspace(-8, 8, 321)
POINTS = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), -1).reshape(-1, 2)
AREA = (GRID[1] - GRID[0]) ** 2
SMALL = ResampledConfig(hidden_dims=(4,), samples=64, decay=0.9)


def prior_of(truncation=3):
    """Return a prior whose acceptance function varies."""
    prior = ResampledPrior(2, (4,), truncation, 64, 0.9, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    weights = jax.tree.map(
        lambda a: jnp.asarray(2 * rng.normal(size=a.shape), jnp.float32),
        nnx.state(prior.acceptance),
    )
    nnx.update(prior.acceptance, weights)
    return prior


def acceptance(prior, z, shift=0.0):
    """Return a(z) in float64, with a shift of the output's bias."""
    hidden, output = prior.acceptance.hidden.layers[0], prior.acceptance.output
    a, b, c, d = (
        np.float64(p[...]) for p in (hidden.kernel, hidden.bias, output.kernel, output.bias)
    )
    return expit(np.tanh(z @ a + b) @ c + d + shift)[..., 0]


def density(prior, z, normaliser, shift=0.0):
    alpha = (1 - normaliser) ** (prior.truncation - 1)
    within = (1 - alpha) * acceptance(prior, z, shift) / normaliser + alpha
    return norm.pdf(z).prod(-1) * within


def by_quadrature(prior):
    """Return Z; the trapezoidal rule is exact to far beyond float32 for smooth functions."""
    return (norm.pdf(POINTS).prod(-1) * acceptance(prior, POINTS)).sum() * AREA


def distribution(prior, normaliser, estimate=None):
    network, weights = nnx.split(prior.acceptance)
    return ResampledNormal(2, network, weights, prior.truncation, jnp.float32(normaliser), estimate)


@pytest.mark.parametrize("truncation", [2, 5, 100])
def test_the_density_is_the_papers_and_integrates_to_one(truncation):
    prior = prior_of(truncation)
    normaliser = by_quadrature(prior)
    p = distribution(prior, normaliser)
    found = np.float64(jax.jit(lambda p, z: p.log_prob(z))(p, np.float32(POINTS)))
    np.testing.assert_allclose(np.exp(found).sum() * AREA, 1, rtol=1e-5)
    near = np.abs(POINTS).max(1) < 4  # float32 keeps five digits of a density of 1e-8
    np.testing.assert_allclose(
        found[near], np.log(density(prior, POINTS, normaliser))[near], atol=1e-4
    )


@pytest.mark.parametrize("truncation", [2, 3])
def test_samples_have_the_density(truncation):
    prior = prior_of(truncation)
    n = 100_000
    p = distribution(prior, 0.5)  # Z is not read
    z = np.float64(jax.jit(lambda p: p.sample(jax.random.key(0), (n,)))(p))
    weights = density(prior, POINTS, by_quadrature(prior)) * AREA
    for statistic in (
        lambda z: z[:, 0],
        lambda z: z[:, 1],
        lambda z: z[:, 0] * z[:, 1],
        lambda z: acceptance(prior, z),
    ):
        values = statistic(POINTS)
        mean = weights @ values
        error = np.sqrt((weights @ values**2 - mean**2) / n)
        assert abs(statistic(z).mean() - mean) < 4 * error
    shift = weights @ POINTS
    assert np.linalg.norm(shift) > 0.1, "N(0, I) would not pass"


def test_an_estimate_has_the_value_of_the_average_and_the_gradient_of_the_batch():
    prior = prior_of()
    rng = np.random.default_rng(1)
    proposals, z = rng.normal(size=(64, 2)), rng.normal(size=(7, 2))
    log_q = norm.logpdf(z, 0.3, 0.8).sum(-1)
    average, decay = 0.4, 0.9

    network, weights = nnx.split(prior.acceptance)

    def log_p(weights, z):
        p = ResampledNormal(2, network, weights, prior.truncation, 0.0)
        a = jnp.exp(p.log_accept(jnp.float32(proposals)))
        estimate = NormaliserEstimate(a.sum(), len(proposals), average, decay)
        p = dataclasses.replace(p, estimate=estimate)
        return p.log_prob_of_samples(z, jnp.float32(log_q)), p.log_prob(z)

    (of_samples, of_any), slopes, of_z = jax.jit(
        lambda weights, z: (
            log_p(weights, z),
            [slope["output"]["bias"][...] for slope in jax.jacobian(log_p)(weights, z)],
            jax.grad(lambda z: log_p(weights, z)[0].sum())(z),
        )
    )(weights, np.float32(z))

    def currents(shift):
        total = acceptance(prior, proposals, shift).sum()
        weight = norm.pdf(z).prod(-1) / np.exp(log_q)
        own = (total + weight * acceptance(prior, z, shift)) / (len(proposals) + 1)
        return own, np.full(len(z), total / len(proposals))

    h = 1e-5
    for which, (found, slope) in enumerate(zip((of_samples, of_any), slopes, strict=True)):
        here = currents(0.0)[which]
        smooth = decay * average + (1 - decay) * here

        def expected(shift, which=which, here=here, smooth=smooth):
            normaliser = smooth + currents(shift)[which] - here
            return np.log(density(prior, z, normaliser, shift))

        np.testing.assert_allclose(found, expected(0.0), rtol=1e-4)
        differences = (expected(h) - expected(-h)) / (2 * h)
        np.testing.assert_allclose(slope[:, 0], differences, rtol=1e-3, atol=1e-4)
    smooth = decay * average + (1 - decay) * currents(0.0)[0]
    steps = h * np.eye(2)
    differences = [
        (np.log(density(prior, z + s, smooth)) - np.log(density(prior, z - s, smooth))) / (2 * h)
        for s in steps
    ]
    np.testing.assert_allclose(of_z, np.stack(differences, -1), rtol=1e-3, atol=1e-4)


def test_the_weighed_sample_leaves_the_estimate_unbiased():
    prior, rng = prior_of(), np.random.default_rng(3)
    z = rng.normal(0.3, 0.9, size=(200_000, 2))
    weight = norm.pdf(z).prod(-1) / norm.pdf(z, 0.3, 0.9).prod(-1)
    terms = weight * acceptance(prior, z)
    error = terms.std() / len(z) ** 0.5
    assert abs(terms.mean() - by_quadrature(prior)) < 4 * error


def test_training_mode_moves_the_average_and_evaluation_mode_nothing():
    model = model_with(prior=SMALL)
    model.prior.acceptance.output.bias[...] = jnp.array([1.0])  # a is the same everywhere
    a, key = expit(1.0), jax.random.key(0)

    @nnx.jit
    def kl_and_gradient(model):
        def kl(model):
            return model.loss_fn(batch=X, rng=key)["kl_loss"]

        return nnx.value_and_grad(kl)(model)

    model.eval()
    kl, gradient = kl_and_gradient(model)
    assert model.prior.normaliser[...] == 0.5
    assert all((g == 0).all() for g in jax.tree.leaves(gradient["prior"]))
    model.train()
    _, gradient = kl_and_gradient(model)
    np.testing.assert_allclose(model.prior.normaliser[...], 0.9 * 0.5 + 0.1 * a, rtol=1e-6)
    assert np.any(gradient["prior"]["acceptance"]["output"]["kernel"][...])
    model.eval()
    model.prior.normaliser[...] = jnp.float32(a)
    exact, _ = kl_and_gradient(model)
    # Where a is constant and Z exact, p is N(0, I), and a Z of 1/2 makes p too large by a/Z.
    within = (1 - 0.5**99) * a / 0.5 + 0.5**99
    np.testing.assert_allclose(kl - exact, -np.log(within), rtol=1e-4)


def test_it_begins_as_a_standard_normal():
    model = model_with(prior=SMALL)
    z = np.random.default_rng(1).normal(size=(5, 2)).astype(np.float32)
    log_p = nnx.jit(lambda model: model.log_prior(z))(model)
    np.testing.assert_allclose(log_p, norm.logpdf(z).sum(-1), rtol=1e-5)


@pytest.mark.slow
def test_the_average_is_saved_and_resumed_and_comes_to_the_normaliser(tmp_path):
    model = check_resumes_and_saves(lambda: model_with(prior=SMALL), tmp_path)
    assert model.prior.normaliser[...] != 0.5
    # Four steps of Adam at 1e-3 hardly change a.
    np.testing.assert_allclose(model.prior.normaliser[...], by_quadrature(model.prior), rtol=0.02)


@pytest.mark.parametrize("normaliser", [0.0, 1e-20, 0.5, 1.0])
def test_extreme_normalisers_give_finite_numbers(normaliser):
    p = distribution(prior_of(100), normaliser)
    z = jnp.array([[0.0, 0.0], [100.0, -100.0]])

    def total(normaliser):
        estimate = NormaliserEstimate(normaliser, 1, normaliser, 0.5)
        q = ResampledNormal(2, p.network, p.weights, 100, normaliser, estimate)
        # A sample far in the tail of a narrow q has a weight that overflows.
        return q.log_prob_of_samples(z, jnp.array([-200.0, 5.0])).sum() + q.log_prob(z).sum()

    value, slope = jax.jit(jax.value_and_grad(total))(jnp.float32(normaliser))
    assert np.isfinite(value)
    assert np.isfinite(slope)


def test_arguments_are_checked():
    for bad in ({"truncation": 1}, {"decay": 1.0}, {"samples": 0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            ResampledPrior(2, rngs=nnx.Rngs(0), **bad)
