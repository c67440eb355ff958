"""Hamiltonian posteriors on a linear-Gaussian model, whose evidence is known, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import optimize

from workshop.generative_models.models.vae.posteriors import (
    HamiltonianPosterior,
    RiemannianHamiltonianPosterior,
)

# p(z) = N(0, I), p(x|z) = N(W z, 0.25 I). The columns of W are orthogonal.
W = np.array([[1.0, 1], [1, -1], [1, 1], [1, -1]]) * [0.4, 0.8]
X, NOISE = np.array([1.5, -0.5, 0.8, 1.1]), 0.25
PRECISION = np.eye(2) + W.T @ W / NOISE
POSTERIOR_MEAN = np.linalg.solve(PRECISION, W.T @ X / NOISE)
COVARIANCE = W @ W.T + NOISE * np.eye(4)
EVIDENCE = -0.5 * (
    4 * np.log(2 * np.pi) + np.linalg.slogdet(COVARIANCE)[1] + X @ np.linalg.solve(COVARIANCE, X)
)
# An encoder that is wrong by one or two standard deviations of the posterior.
MEAN = POSTERIOR_MEAN + np.array([2.0, -1]) / np.sqrt(np.diag(PRECISION))
VARIANCE = 1.3 / np.diag(PRECISION)
FEATURES = {"mean": MEAN[None], "log_var": np.log(VARIANCE)[None]}
MAX = 0.6
N = 40_000


def log_joint(z):
    miss = X - z @ W.T
    constant = 6 * np.log(2 * np.pi) + 4 * np.log(NOISE)
    return -0.5 * (jnp.square(z).sum(-1) + jnp.square(miss).sum(-1) / NOISE + constant)


def closed_form(steps, size, beta):
    """The bound: every step is linear, so that (z, ρ) stays Gaussian."""
    inverse = (1 - beta**-0.5) * (np.arange(steps + 1) / max(steps, 1)) ** 2 + beta**-0.5
    one, none = np.eye(2), np.zeros((2, 2))
    kick = np.block([[one, none], [-0.5 * size * PRECISION, one]])
    pull = np.r_[0, 0, 0.5 * size * PRECISION @ POSTERIOR_MEAN]
    drift = np.block([[one, size * one], [none, one]])
    mean, cov = np.r_[MEAN, 0, 0], np.diag(np.r_[VARIANCE, np.full(2, 1 / beta)])
    for k in range(steps):
        cool = np.diag([1, 1, *[inverse[k + 1] / inverse[k]] * 2])
        for matrix, shift in ((kick, pull), (drift, 0), (kick, pull), (cool, 0)):
            mean, cov = matrix @ mean + shift, matrix @ cov @ matrix.T
    miss, rho = mean[:2] - POSTERIOR_MEAN, mean[2:]
    of_z = np.trace(PRECISION @ cov[:2, :2]) + miss @ PRECISION @ miss
    log_p = EVIDENCE + 0.5 * (np.linalg.slogdet(PRECISION)[1] - of_z) - np.log(2 * np.pi)
    log_rho = -np.log(2 * np.pi) - 0.5 * (np.trace(cov[2:, 2:]) + rho @ rho)
    # The entropy of (z_0, ρ_0), and what the cooling takes from it.
    entropy = 0.5 * (4 * (1 + np.log(2 * np.pi)) + np.log(VARIANCE / beta).sum())
    return log_p + log_rho + entropy + (np.log(beta) if steps else 0.0)


@functools.cache
def best(steps):
    """The step size and β_0 with the highest bound."""
    grid = [(s, b) for s in np.linspace(0.02, 0.5, 25) for b in np.linspace(0.1, 1, 19)]
    start = max(grid, key=lambda found: closed_form(steps, *found))
    found = optimize.minimize(
        lambda point: -closed_form(steps, *point), start, method="L-BFGS-B",
        bounds=[(0.01, 0.55), (0.05, 0.999)],
    )  # fmt: skip
    return found.x


def log_weights(posterior, features=FEATURES):
    graphdef, state = nnx.split(posterior)

    @jax.jit
    def compute(state, key, features):
        q = nnx.merge(graphdef, state)(features, log_joint)
        z, log_q = q.sample_and_log_prob(key, (N,))
        return z[:, 0], (log_joint(z) - log_q)[:, 0]

    with jax.enable_x64(True):
        z, log_w = compute(state, jax.random.key(0), jax.tree.map(jnp.asarray, features))
        return np.asarray(z), np.asarray(log_w)


@functools.cache
def hamiltonian(steps):
    size, beta = best(steps)
    posterior = HamiltonianPosterior(steps, float(size), MAX, float(beta), latent_dim=2)
    return np.asarray(posterior.step_size)[0], float(posterior.beta_zero), log_weights(posterior)[1]


def error(values):
    return values.std() / len(values) ** 0.5


@pytest.mark.sampled
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_bound_is_that_in_closed_form_and_below_the_evidence(steps):
    size, beta, log_w = hamiltonian(steps)
    assert log_w.dtype == np.float64
    # Parameters are float32. Five standard errors, here up to 0.06.
    assert log_w.mean() == pytest.approx(closed_form(steps, size, beta), abs=5 * error(log_w))
    assert log_w.mean() + 5 * error(log_w) < EVIDENCE
    weights = np.exp(log_w - EVIDENCE)
    assert weights.mean() == pytest.approx(1, abs=5 * error(weights))


def test_the_bound_rises_with_the_number_of_steps():
    exact = [closed_form(steps, *best(steps)) if steps else closed_form(0, 0, 1) for steps in
             (0, 1, 2, 4)]  # fmt: skip
    assert (np.diff(exact) > 0.02).all()
    found = [exact[0], *(hamiltonian(steps)[2].mean() for steps in (1, 2, 4))]
    assert (np.diff(found) > 0).all()
    assert exact[0] == pytest.approx(EVIDENCE - 2.5 - (0.3 - np.log(1.3)))


def test_a_trajectory_that_is_not_cooled_gains_nothing():
    posterior = HamiltonianPosterior(2, 0.01, MAX, 1.0, learned=False, latent_dim=2)
    assert not jax.tree.leaves(nnx.state(posterior, nnx.Param))
    _, log_w = log_weights(posterior)
    # Energy is preserved but for terms of the order of ε².
    assert log_w.mean() == pytest.approx(closed_form(0, 0, 1), abs=5 * error(log_w) + 1e-3)


def riemannian(**options):
    return RiemannianHamiltonianPosterior(2, 0.2, 0.5, latent_dim=2, **options)


@pytest.mark.slow
def test_on_a_flat_manifold_the_riemannian_posterior_is_the_hamiltonian():
    flat = log_weights(riemannian(regularization=1.0), FEATURES | {"metric": np.zeros((1, 3))})
    plain = log_weights(HamiltonianPosterior(2, 0.2, 0.5, 0.5, latent_dim=2))
    for found, expected in zip(flat, plain, strict=True):
        # The step size and β_0 of one of them are float32.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_weights_on_a_curved_manifold_have_the_evidence_as_their_mean():
    """They do only if volume is preserved, and momenta have the density that is stated."""
    rng = np.random.default_rng(0)
    posterior = riemannian(regularization=0.5, centroids=4, iterations=30)
    posterior.centroids[...] = jnp.asarray(POSTERIOR_MEAN + rng.normal(size=(4, 2)), jnp.float32)
    posterior.factors[...] = jnp.asarray(0.5 * np.tril(rng.normal(size=(4, 2, 2))), jnp.float32)
    # Nearer to the posterior than elsewhere, and twice as wide, for weights of a small spread.
    near = {"mean": 0.8 * POSTERIOR_MEAN[None], "log_var": FEATURES["log_var"] + np.log(2)}
    z, log_w = log_weights(posterior, near | {"metric": np.zeros((1, 3))})
    weights = np.exp(log_w - EVIDENCE)
    assert weights.mean() == pytest.approx(1, abs=5 * error(weights))
    assert error(weights) < 0.02
    # The metric is not flat where the samples are.
    squares = np.square(z[:50, None] - np.asarray(posterior.centroids[...])).sum(-1)
    assert np.ptp(np.exp(-squares / 1.5**2), axis=0).max() > 0.3
    assert log_w.mean() + 5 * error(log_w) < EVIDENCE
