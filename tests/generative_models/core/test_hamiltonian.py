"""Leapfrog integrators: volume, reversal, and their equations, in float64."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from workshop.generative_models.core.hamiltonian import (
    cooling,
    generalized_leapfrog,
    kinetic_energy,
    leapfrog,
)

STEPS, SIZE, BETA = 3, 0.15, 0.3
# So many iterations that the implicit equations are solved to float64.
ITERATIONS = 40
RNG = np.random.default_rng(0)
W, V = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4))
X = RNG.normal(size=4)
CENTROIDS = RNG.normal(size=(3, 2))
ROOTS = np.tril(RNG.normal(size=(3, 2, 2)))
Z, RHO = RNG.normal(size=2), RNG.normal(size=2)


def log_density(z, xp=jnp):
    """log p(x, z) of a small network, which is far from quadratic."""
    miss = xp.tanh(z @ W) @ V - X
    return -0.5 * (xp.square(z).sum(-1) + 2 * xp.square(miss).sum(-1))


def inverse_metric(z, xp=jnp):
    squares = xp.square(z[..., None, :] - CENTROIDS).sum(-1)
    products = ROOTS @ ROOTS.transpose(0, 2, 1)
    return xp.einsum("...n,nij->...ij", xp.exp(-squares / 1.5**2), products) + 0.3 * np.eye(2)


def energy(z, rho):
    """-log p(z) - log N(ρ; 0, G(z))."""
    covariance = np.linalg.inv(inverse_metric(z, np))
    return -log_density(z, np) - stats.multivariate_normal.logpdf(rho, np.zeros(2), covariance)


def slope(function, z, h=1e-5):
    steps = h * np.eye(2)
    return np.array([(function(z + s) - function(z - s)) / (2 * h) for s in steps])


class Found(NamedTuple):
    end: np.ndarray
    jacobian: np.ndarray
    back: np.ndarray


def integrate(kind, z, rho, alphas):
    if kind == "plain":
        # A step size of its own for each latent.
        return leapfrog(log_density, z, rho, jnp.asarray([SIZE, 2 * SIZE]), alphas)
    return generalized_leapfrog(log_density, inverse_metric, z, rho, SIZE, alphas, ITERATIONS)


@functools.partial(jax.jit, static_argnums=0)
def run_one_step(kind, z, rho):
    return integrate(kind, z, rho, jnp.ones(1))


@functools.cache
def compiled(kind):
    @jax.jit
    def compute(start, beta):
        alphas = cooling(beta, STEPS)

        def run(start):
            return jnp.concatenate(integrate(kind, start[:2], start[2:], alphas))

        end = run(start)
        flipped = end * jnp.asarray([1, 1, -1, -1])
        return Found(end, jax.jacfwd(run)(start), run(flipped))

    return compute


@functools.cache
def trajectory(kind, beta):
    """The end of a trajectory, its Jacobian, and where it leads with the momentum reversed."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, compiled(kind)(np.r_[Z, RHO], beta))


kinds = pytest.mark.parametrize("kind", ["plain", "generalized"])


@pytest.mark.sampled
@kinds
def test_volume_is_preserved_but_for_the_cooling(kind):
    # The number of latents is 2, so that the factor √β_0 of the momenta counts twice.
    for beta, volume in ((1.0, 1.0), (BETA, BETA)):
        found = trajectory(kind, beta)
        assert found.end.dtype == np.float64
        assert np.linalg.det(found.jacobian) == pytest.approx(volume, rel=1e-9)
    # The map is no shift: there is something to preserve.
    assert np.abs(trajectory(kind, 1.0).jacobian - np.eye(4)).max() > 0.2


@kinds
def test_a_trajectory_reverses(kind):
    back = trajectory(kind, 1.0).back
    np.testing.assert_allclose(back * [1, 1, -1, -1], np.r_[Z, RHO], rtol=1e-9)
    assert np.abs(trajectory(kind, 1.0).end[:2] - Z).max() > 0.2


def test_leapfrog_steps_are_those_of_the_textbook():
    z, rho, sizes = Z, RHO, np.array([SIZE, 2 * SIZE])
    alphas = np.sqrt(BETA) ** -1 + (1 - BETA**-0.5) * (np.arange(STEPS + 1) / STEPS) ** 2
    for alpha in alphas[1:] / alphas[:-1]:
        half = rho + 0.5 * sizes * slope(lambda z: log_density(z, np), z)
        z = z + sizes * half
        rho = alpha * (half + 0.5 * sizes * slope(lambda z: log_density(z, np), z))
    # Central differences with steps of 1e-5 are right to 1e-9 or so.
    np.testing.assert_allclose(trajectory("plain", BETA).end, np.r_[z, rho], rtol=1e-6)


def test_a_generalized_step_solves_its_equations():
    """ρ½ is found from the last equation, and the first two must then hold."""
    with jax.enable_x64(True):
        z, rho = map(np.asarray, run_one_step("generalized", Z, RHO))

    def pull(z, rho):
        return slope(lambda z: energy(z, rho), z)

    half = rho
    for _ in range(ITERATIONS):
        half = rho + 0.5 * SIZE * pull(z, half)
    np.testing.assert_allclose(half + 0.5 * SIZE * pull(Z, half), RHO, rtol=1e-6)
    both = inverse_metric(Z, np) @ half + inverse_metric(z, np) @ half
    np.testing.assert_allclose(z, Z + 0.5 * SIZE * both, rtol=1e-6)


def test_cooling_rises_to_one():
    for beta in (0.3, 1.0):
        alphas = np.asarray(jax.jit(lambda beta: cooling(beta, 5))(beta))
        roots = np.sqrt(beta) * np.cumprod(1 / alphas)
        k = np.arange(1, 6) / 5
        np.testing.assert_allclose(1 / roots, (1 - beta**-0.5) * k**2 + beta**-0.5, rtol=1e-5)
        assert roots[-1] == pytest.approx(1, rel=1e-5)


def test_the_kinetic_energy_is_that_of_a_gaussian():
    with jax.enable_x64(True):
        program = jax.jit(lambda z, rho: kinetic_energy(inverse_metric, z, rho))
        found = np.asarray(program(Z, RHO))
    covariance = np.linalg.inv(inverse_metric(Z, np))
    expected = -stats.multivariate_normal.logpdf(RHO, np.zeros(2), covariance)
    assert found + np.log(2 * np.pi) == pytest.approx(expected, rel=1e-12)


def test_forces_that_overflow_leave_trajectories_finite():
    def steep(z):
        return -jnp.exp(jnp.exp(jnp.square(z).sum(-1)))

    z, rho = jax.jit(lambda z, rho: leapfrog(steep, z, rho, 0.1, jnp.ones(4)))(
        jnp.asarray([[30.0, 1.0], [1.0, 0.0]]), jnp.ones((2, 2))
    )
    assert np.isfinite(z).all()
    assert np.isfinite(rho).all()
