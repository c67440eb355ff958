"""Distributions on the sphere against quadrature in float64, scipy, and closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from workshop.generative_models.core.distributions import (
    PowerSpherical,
    StandardNormal,
    UniformSphere,
    VonMisesFisher,
    kl,
)

N = {2: 2000, 3: 2000, 512: 200}
"""Samples of each size."""
KAPPAS = np.array([0.0, 1e-2, 0.3, 1.0, 5.0, 60.0, 300.0, 1e4, 1e5], np.float32)
FAMILIES = {"vmf": VonMisesFisher, "power": PowerSpherical}
CASES = [("vmf", 2), ("vmf", 3), ("vmf", 512), ("power", 2), ("power", 512)]
each = pytest.mark.parametrize(("family", "size"), CASES)
LARGEST = 3e38


class Quadrature:
    """The angle's distribution on a fine grid, in float64."""

    def __init__(self, family, size, kappa):
        self.power, self.family, self.kappa = size - 2, family, np.float64(kappa)
        grid = np.linspace(0, np.pi, 20_001)
        kept = grid[self.log(grid) > self.log(grid).max() - 60]
        step = grid[1]
        ends = max(0.0, kept[0] - step), min(np.pi, kept[-1] + step)
        self.theta = np.linspace(*ends, 40_001)
        log = self.log(self.theta)
        self.density = np.exp(log - log.max())
        mass = integrate.simpson(self.density, x=self.theta)
        self.density /= mass
        self.log_mass = np.log(mass) + log.max()
        self.cdf = integrate.cumulative_simpson(self.density, x=self.theta, initial=0)
        self.score = self.shape(self.theta, 1.0)
        self.mean_score = self.mean(self.score)
        # ∫ sin^p θ dθ over [0, π]: the uniform distribution.
        uniform = 0.5 * np.log(np.pi) + special.gammaln((self.power + 1) / 2)
        uniform -= special.gammaln(self.power / 2 + 1)
        self.log_normaliser = self.log_mass - uniform
        self.variance_of_score = self.mean((self.score - self.mean_score) ** 2)
        if family == "power":  # its logarithm has a pole at π
            beta, total = (size - 1) / 2, size - 1
            alpha = beta + self.kappa
            self.log_normaliser = special.betaln(alpha, beta) - special.betaln(beta, beta)
            self.mean_score = special.digamma(alpha) - special.digamma(total + self.kappa)
            gamma = special.polygamma(1, [alpha, total + self.kappa])
            self.variance_of_score = gamma[0] - gamma[1]
        self.kl = self.kappa * self.mean_score - self.log_normaliser

    def shape(self, theta, kappa):
        if self.family == "vmf":
            return -2 * kappa * np.sin(theta / 2) ** 2
        return 2 * kappa * np.log(np.maximum(np.cos(theta / 2), 1e-200))

    def log(self, theta):
        circles = self.power * np.log(np.maximum(np.sin(theta), 1e-200)) if self.power else 0.0
        return self.shape(theta, self.kappa) + circles

    def mean(self, values):
        return integrate.simpson(values * self.density, x=self.theta)

    def slope(self, theta):
        """Return dθ/dκ = -(∂F/∂κ) / f at fixed F."""
        scored = self.density * (self.score - self.mean_score)
        change = integrate.cumulative_simpson(scored, x=self.theta, initial=0)
        return -np.interp(theta, self.theta, change) / np.interp(theta, self.theta, self.density)


@functools.cache
def quadratures(family, size):
    return [Quadrature(family, size, kappa) for kappa in KAPPAS]


@functools.cache
def outcome(family, size):
    """All that one program computes of a family in one dimension, for every κ."""
    kind, kappas = FAMILIES[family], jnp.asarray(KAPPAS)
    direction = jnp.asarray(np.random.default_rng(1).normal(size=(len(KAPPAS), size)), jnp.float32)

    @jax.jit
    def run(direction, kappas):
        d = kind(direction, kappas)

        def draw(kappas):
            one = kind(jnp.broadcast_to(direction, (N[size], *direction.shape)), kappas)
            z, log_q = one.sample_and_log_prob(jax.random.key(0))
            return 0.5 * jnp.square(z - d.mean).sum(-1), (z, log_q)

        def densities(kappas):
            one = kind(direction, kappas)
            return one.log_prob(d.mode), kl(one, UniformSphere(size))

        every = jnp.broadcast_to(kappas, (N[size], len(kappas)))
        fall, back, (z, log_q) = jax.vjp(draw, every, has_aux=True)
        (at_mode, divergence), of_densities = jax.vjp(densities, kappas)
        ones, zeros = jnp.ones_like(kappas), jnp.zeros_like(kappas)
        return {
            "z": z,
            "log_q": log_q,
            "log_prob": d.log_prob(z),
            "at_mode": at_mode,
            "slope_at_mode": of_densities((ones, zeros))[0],
            "mean": d.mean,
            "kl": divergence,
            "kl_slope": of_densities((zeros, ones))[0],
            "fall": fall,
            "fall_slope": back(jnp.ones_like(fall))[0],
            "uniform": UniformSphere(size).log_prob(z[0]),
        }

    return jax.tree.map(lambda a: np.asarray(a, np.float64), run(direction, kappas))


def angle_to(mean, z):
    return 2 * np.arcsin(np.clip(np.linalg.norm(z - mean, axis=-1) / 2, 0, 1))


@pytest.mark.sampled
@each
def test_normaliser_and_divergence_equal_quadrature(family, size):
    found, exact = outcome(family, size), quadratures(family, size)
    log_area = np.log(2) + size / 2 * np.log(np.pi) - special.gammaln(size / 2)
    at_mode = np.array([-log_area - q.log_normaliser for q in exact])
    # The terms of the sums are as large as half the logarithm of κ times the size.
    np.testing.assert_allclose(found["at_mode"], at_mode, rtol=2e-6, atol=1e-5)
    np.testing.assert_allclose(found["kl"], [q.kl for q in exact], rtol=2e-5, atol=3e-7)
    np.testing.assert_allclose(found["uniform"], -log_area, rtol=1e-6)
    # d log p(mode)/dκ = -E score; dKL/dκ = κ Var(score).
    slopes = np.array([-q.mean_score for q in exact])
    np.testing.assert_allclose(found["slope_at_mode"], slopes, rtol=2e-5)
    slopes = np.array([q.kappa * q.variance_of_score for q in exact])
    # Of size 512 at κ = 0.01 the slope is 2e-5, a difference of terms near κ itself.
    np.testing.assert_allclose(found["kl_slope"], slopes, rtol=2e-4, atol=1e-7)


def test_the_normaliser_is_that_of_scipys_bessel_functions():
    kappas = np.logspace(-1, 5, 40).astype(np.float32)

    @jax.jit
    def at_mode(kappas):
        return {
            size: VonMisesFisher(jnp.ones((len(kappas), size)), kappas).log_prob(
                jnp.ones(size) / jnp.sqrt(size)
            )
            for size in (2, 3, 5, 16, 40, 512)
        }

    for size, found in at_mode(jnp.asarray(kappas)).items():
        nu, k = size / 2 - 1, np.float64(kappas)
        with np.errstate(divide="ignore"):
            log_bessel = np.log(special.ive(nu, k))
        known = np.isfinite(log_bessel)  # scipy's own underflow, of large orders
        assert known.sum() >= 15
        exact = nu * np.log(k) - (nu + 1) * np.log(2 * np.pi) - log_bessel
        np.testing.assert_allclose(found[known], exact[known], rtol=2e-6, atol=1e-5)


@pytest.mark.sampled
@each
def test_samples_have_the_density(family, size):
    found = outcome(family, size)
    theta = angle_to(found["mean"], found["z"])
    for i, exact in enumerate(quadratures(family, size)):
        share = np.interp(theta[:, i], exact.theta, exact.cdf)
        # The seed is fixed: a wrong distribution of 4000 samples has a p-value of 0.
        assert stats.kstest(share, "uniform").pvalue > 1e-3
    np.testing.assert_allclose(np.linalg.norm(found["z"], axis=-1), 1, atol=1e-6)
    # Directions around the mean are uniform: E zᵢ = 0 in every orthogonal direction.
    side = found["z"] - (found["z"] * found["mean"]).sum(-1, keepdims=True) * found["mean"]
    error = side.std(0) / N[size] ** 0.5
    assert (np.abs(side.mean(0)) < 5.5 * error + 1e-7).all()  # 4618 of them


@each
def test_samples_move_with_the_concentration_as_their_quantiles_do(family, size):
    found = outcome(family, size)
    for i, exact in enumerate(quadratures(family, size)):
        if KAPPAS[i] < 1 and size == 2:  # log(1 + w) has a pole on the grid's last cell
            continue
        theta = 2 * np.arcsin(np.sqrt(found["fall"][:, i] / 2))
        slope = np.sin(theta) * exact.slope(theta)
        size_of = np.abs(slope).mean()
        np.testing.assert_allclose(found["fall_slope"][:, i], slope, rtol=5e-3, atol=2e-3 * size_of)


@each
def test_the_density_of_a_sample_is_that_of_its_noise(family, size):
    found = outcome(family, size)
    # Of a stored sample the angle is known to rounding; opposite to μ its logarithm has a pole.
    tolerance = 5e-3 if family == "power" else 5e-4
    np.testing.assert_allclose(found["log_q"], found["log_prob"], atol=tolerance)
    if family == "vmf" and size == 3:
        for i, kappa in enumerate(KAPPAS[2:], 2):
            mean = found["mean"][i] / np.linalg.norm(found["mean"][i])
            exact = stats.vonmises_fisher(mean, np.float64(kappa))
            z = found["z"][:50, i] / np.linalg.norm(found["z"][:50, i], axis=-1, keepdims=True)
            np.testing.assert_allclose(found["log_q"][:50, i], exact.logpdf(z), atol=2e-4)


@pytest.mark.sampled
@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_temperature_divides_the_concentration_by_its_square(family):
    direction, kappas = np.eye(3, dtype=np.float32)[:2], np.array([5.0, 300.0], np.float32)

    @jax.jit
    def run(d):
        key = jax.random.key(0)
        # With a traced temperature, as exported programs have it.
        return jax.vmap(lambda t: d.sample(key, (2000,), temperature=t))(jnp.array([0.0, 2.0]))

    cold, hot = run(FAMILIES[family](jnp.asarray(direction), jnp.asarray(kappas)))
    assert hot.shape == (2000, 2, 3)
    np.testing.assert_allclose(cold, np.broadcast_to(direction, cold.shape), atol=2e-3)
    theta = angle_to(direction, np.float64(hot))
    for i, kappa in enumerate(kappas):
        exact = Quadrature(family, 3, kappa / 4)
        share = np.interp(theta[:, i], exact.theta, exact.cdf)
        assert stats.kstest(share, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("size", [2, 3])
def test_densities_integrate_to_one(family, size):
    if size == 2:
        angle = np.arange(4000) * 2 * np.pi / 4000
        points, weights = (
            np.stack([np.cos(angle), np.sin(angle)], -1),
            np.full(4000, 2 * np.pi / 4000),
        )
    else:
        w, of_w = np.polynomial.legendre.leggauss(200)
        angle = np.arange(200) * 2 * np.pi / 200
        ring = np.sqrt(1 - w**2)[:, None]
        grid = [ring * np.cos(angle), ring * np.sin(angle), np.broadcast_to(w[:, None], (200, 200))]
        points = np.stack(grid, -1).reshape(-1, 3)
        weights = (of_w[:, None] * np.full(200, 2 * np.pi / 200)).reshape(-1)
    d = FAMILIES[family](jnp.array([0.3, -0.8, 0.6])[:size], jnp.array(4.0))
    log_p = jax.jit(lambda d, z: d.log_prob(z))(d, jnp.asarray(points, jnp.float32))
    np.testing.assert_allclose(np.exp(np.float64(log_p)) @ weights, 1, rtol=1e-5)


@pytest.mark.sampled
@pytest.mark.parametrize("family", list(FAMILIES))
def test_gradients_of_expectations_equal_closed_forms(family):
    """E c·z = A c·μ and E (c·z)² = B (c·μ)² + (1 - B) (|c|² - (c·μ)²) / (m - 1)."""
    raw, c, kappa = np.array([1.0, 2.0, -0.5]), np.array([0.4, -1.0, 0.7]), 6.0
    count = 40_000

    @jax.jit
    def gradients(raw, kappa):
        def values(raw, kappa):
            z = FAMILIES[family](raw, kappa).sample(jax.random.key(3))
            return jnp.stack([z @ c, jnp.square(z @ c)], -1)

        raws, kappas = jnp.broadcast_to(raw, (count, 3)), jnp.full(count, kappa)
        return [
            jax.vjp(values, raws, kappas)[1](jnp.tile(jnp.eye(2)[i], (count, 1))) for i in (0, 1)
        ]

    found = gradients(jnp.asarray(raw, jnp.float32), jnp.float32(kappa))

    def exact(raw, kappa):
        q = Quadrature(family, 3, kappa)
        w = np.cos(q.theta)
        first, second = q.mean(w), q.mean(w**2)
        along = c @ raw / np.linalg.norm(raw)
        rest = (1 - second) * (c @ c - along**2) / 2
        return np.array([first * along, second * along**2 + rest])

    h = 1e-4
    by_raw = [(exact(raw + h * e, kappa) - exact(raw - h * e, kappa)) / (2 * h) for e in np.eye(3)]
    by_kappa = (exact(raw, kappa + h) - exact(raw, kappa - h)) / (2 * h)
    for i in (0, 1):
        of_raw, of_kappa = (np.asarray(a, np.float64) for a in found[i])
        for sample, expected in [
            *zip(of_raw.T, np.array(by_raw)[:, i], strict=True),
            (of_kappa, by_kappa[i]),
        ]:
            error = sample.std() / count**0.5
            assert abs(sample.mean() - expected) < 4.5 * error
            assert error < 0.02 * max(abs(expected), 0.1)


def test_there_is_no_loop_in_the_sampler():
    d = VonMisesFisher(jnp.ones((2, 3)), jnp.ones(2))
    program = jax.make_jaxpr(lambda d: d.sample(jax.random.key(0), (9,)))(d)
    assert len(program.eqns) > 100
    assert not any(loop in str(program) for loop in ("while[", "scan[", "cond["))


@pytest.mark.sampled
@pytest.mark.parametrize("family", list(FAMILIES))
def test_extreme_parameters_stay_finite(family):
    """A direction of zeros or of the largest numbers, and concentrations beyond the limits."""
    direction = jnp.array(
        [[0.0, 0.0, 0.0], [LARGEST, -LARGEST, 0.0], [1e-30, 0.0, 0.0], [1.0, 0.0, 0.0]]
    )
    kappa = jnp.array([1e30, 1e5, -5.0, 0.0])

    @jax.jit
    def run(direction, kappa):
        def total(direction, kappa):
            d = FAMILIES[family](direction, kappa)
            z, log_q = d.sample_and_log_prob(jax.random.key(0), (7,))
            return (
                (z + d.log_prob(-d.mean)[:, None]).sum()
                + log_q.sum()
                + kl(d, UniformSphere(3)).sum()
            )

        return jax.value_and_grad(total, (0, 1))(direction, kappa)

    assert all(np.isfinite(a).all() for a in jax.tree.leaves(run(direction, kappa)))


def test_errors_name_the_shapes():
    with pytest.raises(ValueError, match=r"direction has shape \(4, 3\), concentration .* \(3,\)"):
        VonMisesFisher(jnp.ones((4, 3)), jnp.ones(3)).log_prob(jnp.ones(3))
    with pytest.raises(ValueError, match="event at least 2"):
        PowerSpherical(jnp.ones((4, 1)), jnp.ones(4)).log_prob(jnp.ones(1))
    assert kl(VonMisesFisher(jnp.ones((4, 3)), jnp.ones(4)), StandardNormal(3)) is None
