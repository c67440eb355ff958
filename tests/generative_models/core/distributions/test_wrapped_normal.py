"""The wrapped normal on the Poincaré ball against quadrature and the hyperboloid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from workshop.generative_models.core.distributions import StandardNormal, WrappedNormal, kl
from workshop.generative_models.core.hyperbolic import exp_map, log_map, log_sinh_ratio

log_prob = jax.jit(lambda p, z: p.log_prob(z))
MEANS = np.array([[0.0, 0.0], [0.3, -0.5], [0.0, 0.93]], np.float32)
LOG_VARS = np.array([[0.0, 0.0], [-1.0, 0.5], [-2.0, -1.0]], np.float32)


def lifted(z):
    """Return points of the ball on the hyperboloid -t² + |s|² = -1, in float64: (t, s)."""
    square = np.square(z).sum(-1, keepdims=True)
    return np.concatenate([1 + square, 2 * z], -1) / (1 - square)


def hyperboloid_log_prob(mean, log_var, z):
    """Return the density of Nagano et al. (2019), algorithm 2, by Lorentzian inner products."""
    z, mean = lifted(np.float64(z)), lifted(np.float64(mean))
    dim = z.shape[-1] - 1
    metric = np.array([-1.0] + [1.0] * dim)
    origin = np.array([1.0] + [0.0] * dim)

    def inner(a, b):
        return (metric * a * b).sum(-1, keepdims=True)

    alpha = -inner(mean, z)
    u = np.arccosh(alpha) / np.sqrt(alpha**2 - 1) * (z - alpha * mean)
    back = origin - (-inner(mean, origin)) * mean
    v = u + inner(back, u) / (1 - inner(mean, origin)) * (mean + origin)
    length = np.sqrt(inner(u, u))[..., 0]
    flat = stats.norm.logpdf(v[..., 1:], scale=np.exp(0.5 * np.float64(log_var))).sum(-1)
    return flat - (dim - 1) * np.log(np.sinh(length) / length)


@pytest.mark.parametrize("i", range(len(MEANS)))
def test_the_density_integrates_to_one_over_the_balls_volume(i):
    """In polar coordinates around the centre: volume sinh r dr dφ, |z| = tanh(r / 2)."""
    rays, angles = np.linspace(0, 12, 1500), np.arange(720) * 2 * np.pi / 720
    r, phi = np.meshgrid(0.5 * (rays[1:] + rays[:-1]), angles, indexing="ij")
    z = np.tanh(r / 2)[..., None] * np.stack([np.cos(phi), np.sin(phi)], -1)
    p = WrappedNormal(jnp.asarray(MEANS[i]), jnp.asarray(LOG_VARS[i]))
    density = np.exp(np.float64(log_prob(p, jnp.asarray(z, jnp.float32))))
    total = (density * np.sinh(r)).sum() * rays[1] * angles[1]
    # Points beyond distance 12.2 are moved inside; float32 knows points at 10 to 1%.
    np.testing.assert_allclose(total, 1, rtol=2e-3)


def test_the_density_is_that_of_the_hyperboloid():
    p = WrappedNormal(jnp.asarray(MEANS), jnp.asarray(LOG_VARS))
    z, log_q, log_p = jax.jit(
        lambda p: (
            *(found := p.sample_and_log_prob(jax.random.key(0), (500,))),
            p.log_prob(found[0]),
        )
    )(p)
    assert (np.linalg.norm(z, axis=-1) < 1).all()
    np.testing.assert_allclose(log_q, log_p, atol=5e-3)
    exact = hyperboloid_log_prob(MEANS, LOG_VARS, np.asarray(z))
    np.testing.assert_allclose(log_p, exact, atol=5e-3)
    np.testing.assert_allclose(log_q[:, :2], exact[:, :2], atol=5e-4)


def test_samples_have_the_density():
    """Seen from the mean, v ~ N(0, diag σ²)."""
    p = WrappedNormal(jnp.asarray(MEANS), jnp.asarray(LOG_VARS))
    z = np.float64(jax.jit(lambda p: p.sample(jax.random.key(1), (4000,)))(p))
    for i, mean in enumerate(np.float64(MEANS)):
        # -μ ⊕ z in complex numbers: a Möbius transformation of the disc.
        a, b = complex(*mean), z[:, i, 0] + 1j * z[:, i, 1]
        moved = (b - a) / (1 - np.conj(a) * b)
        v = 2 * np.arctanh(np.abs(moved)) * moved / np.abs(moved)
        scale = np.exp(0.5 * np.float64(LOG_VARS[i]))
        for part, sigma in zip((v.real, v.imag), scale, strict=True):
            assert stats.kstest(part / sigma, "norm").pvalue > 1e-3
        assert abs(np.corrcoef(v.real, v.imag)[0, 1]) < 4.5 / 4000**0.5


def test_maps_are_inverse_and_extremes_stay_finite():
    mean = jnp.array([[0.0, 0.0], [0.3, -0.5], [0.0, 0.93], [3e38, -3e38], [0.7, 0.0]])
    v = jnp.array([[1.0, -2.0], [0.0, 0.0], [1e-8, 0.0], [1e30, 0.0], [-3.0, 1.0]])

    @jax.jit
    def run(mean, v):
        def total(mean, v):
            from_centre = exp_map(jnp.zeros_like(mean), mean)
            p = WrappedNormal(from_centre, v)
            z, log_q = p.sample_and_log_prob(jax.random.key(0))
            here = exp_map(from_centre, v)
            return here.sum() + (log_q + p.log_prob(here) + p.log_prob(p.mean)).sum() + z.sum()

        value, gradients = jax.value_and_grad(total, (0, 1))(mean, v)
        inside = mean.at[3].set(0)
        there = exp_map(inside, v)
        return value, gradients, there, log_map(inside, there)

    value, gradients, there, back = run(mean, v)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)
    assert (np.linalg.norm(there, axis=-1) < 1).all()
    np.testing.assert_allclose(np.delete(back, 3, 0), np.delete(v, 3, 0), rtol=1e-4, atol=1e-9)


def test_the_spread_of_a_direction_is_exact_near_zero():
    r = np.array([0.0, 1e-4, 0.05, 0.499, 0.501, 1.0, 12.0, 200.0])
    found = jax.jit(log_sinh_ratio)(jnp.asarray(r, jnp.float32))
    exact = [0, *np.log(np.sinh(r[1:]) / r[1:])]
    np.testing.assert_allclose(found, exact, rtol=3e-5, atol=1e-7)


def test_errors_and_missing_divergences():
    p = WrappedNormal(jnp.zeros(2), jnp.zeros(2))
    assert kl(p, p) is None
    assert kl(p, StandardNormal(2)) is None
    with pytest.raises(ValueError, match=r"mean has shape \(3, 2\), log_var has shape \(2,\)"):
        WrappedNormal(jnp.zeros((3, 2)), jnp.zeros(2)).log_prob(jnp.zeros(2))
