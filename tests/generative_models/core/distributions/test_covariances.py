"""Gaussians with full and low-rank covariances against SciPy and float64 formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from workshop.generative_models.core.distributions import (
    DiagonalNormal,
    FullNormal,
    LowRankNormal,
    StandardNormal,
    kl,
)

BATCH, SIZE, N = 2, 3, 20_000
RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def normal(*shape, scale=1.0):
    return jnp.asarray(RNG.normal(size=shape) * scale, jnp.float32)


MEAN, LOG_VAR = normal(BATCH, SIZE), normal(BATCH, SIZE)
GAUSSIANS = {
    "full": FullNormal(MEAN, LOG_VAR, normal(BATCH, SIZE)),
    "low_rank": LowRankNormal(MEAN, LOG_VAR, normal(BATCH, SIZE, 2)),
}
each = pytest.mark.parametrize("name", GAUSSIANS)


def covariances(d):
    """Of each row in float64, from the parameters."""
    if isinstance(d, LowRankNormal):
        u, variances = np.float64(d.factor), np.exp(np.float64(d.log_scale))
        return u @ np.swapaxes(u, -1, -2) + variances[..., None] * np.eye(d.event_size)
    factors = np.zeros((BATCH, d.event_size, d.event_size))
    factors[:, *np.tril_indices(d.event_size, -1)] = d.off_diagonal
    factors += np.exp(0.5 * np.float64(d.log_diagonal))[..., None] * np.eye(d.event_size)
    return factors @ np.swapaxes(factors, -1, -2)


@jax.jit
def measured(d, p):
    z, log_q = d.sample_and_log_prob(KEY, (N,))
    return {
        "z": z, "log_q": log_q, "log_prob": d.log_prob(z), "plain": d.sample(KEY, (N,)),
        "hot": d.sample(KEY, (5,), temperature=2.0), "cold": d.sample(KEY, (5,), temperature=0),
        "five": d.sample(KEY, (5,)), "covariance": d.covariance, "log_var": d.log_var,
        "kl_standard": kl(d, StandardNormal(d.event_size)), "kl_diagonal": kl(d, p),
    }  # fmt: skip


def other(d):
    return DiagonalNormal(0.5 * d.mean + 1, 0.3 * d.mean)


@functools.cache
def outcome(name):
    d = GAUSSIANS[name]
    return jax.tree.map(np.asarray, measured(d, other(d)))


@pytest.mark.sampled
@each
def test_densities_and_covariances_are_scipys(name):
    d, found = GAUSSIANS[name], outcome(name)
    # float32: sums of a few squares, the inverse of matrices of condition number up to 1e2.
    np.testing.assert_allclose(found["covariance"], covariances(d), rtol=1e-5, atol=1e-6)
    variances = np.diagonal(covariances(d), axis1=-2, axis2=-1)
    np.testing.assert_allclose(found["log_var"], np.log(variances), rtol=1e-5, atol=1e-5)
    for row, covariance in enumerate(covariances(d)):
        scipys = stats.multivariate_normal(np.float64(d.mean[row]), covariance)
        expected = scipys.logpdf(np.float64(found["z"][:, row]))
        np.testing.assert_allclose(found["log_prob"][:, row], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found["log_q"][:, row], expected, rtol=1e-4, atol=1e-4)


@each
def test_samples_have_their_moments(name):
    d, found = GAUSSIANS[name], outcome(name)
    np.testing.assert_allclose(found["z"], found["plain"], rtol=1e-6, atol=1e-6)
    offset = np.float64(found["z"]) - np.float64(d.mean)
    products = np.einsum("nbi,nbj->nbij", offset, offset)
    # Five standard errors of the mean.
    assert (np.abs(offset.mean(0)) < 5 * offset.std(0) / N**0.5).all()
    errors = 5 * products.std(0) / N**0.5
    assert (np.abs(products.mean(0) - covariances(d)) < errors).all()


@each
def test_a_temperature_scales_the_deviation_from_the_mean(name):
    d, found = GAUSSIANS[name], outcome(name)
    np.testing.assert_array_equal(found["cold"], np.broadcast_to(d.mean, found["cold"].shape))
    np.testing.assert_allclose(found["hot"] - d.mean, 2 * (found["five"] - d.mean), atol=5e-6)


@each
def test_the_kl_to_diagonal_gaussians_is_exact(name):
    d, found = GAUSSIANS[name], outcome(name)
    p = other(d)
    standard = np.zeros_like(p.mean, np.float64), np.ones_like(p.mean, np.float64)
    diagonal = np.float64(p.mean), np.exp(np.float64(p.log_var))
    for key, (mean, variance) in (("kl_standard", standard), ("kl_diagonal", diagonal)):
        covariance = covariances(d)
        square = (np.square(np.float64(d.mean) - mean) / variance).sum(-1)
        trace = (np.diagonal(covariance, axis1=-2, axis2=-1) / variance).sum(-1)
        log_ratio = np.log(variance).sum(-1) - np.linalg.slogdet(covariance)[1]
        expected = 0.5 * (trace + square - d.event_size + log_ratio)
        assert found[key].shape == (BATCH,)
        np.testing.assert_allclose(found[key], expected, rtol=1e-5, atol=1e-5)


def test_the_kl_of_equal_gaussians_is_zero_and_of_near_ones_keeps_its_digits():
    near = jnp.full(SIZE, 1e-4, jnp.float32)
    cases = [
        FullNormal(jnp.zeros(SIZE), near, jnp.zeros(SIZE)),
        LowRankNormal(jnp.zeros(SIZE), near, jnp.zeros((SIZE, 2))),
    ]
    expected = 0.5 * SIZE * (np.expm1(np.float64(near[0])) - np.float64(near[0]))
    found = jax.jit(lambda cases: [kl(q, StandardNormal(SIZE)) for q in cases])(cases)
    np.testing.assert_allclose(found, expected, rtol=2e-3)  # expm1(v) - v at v = 1e-4


def test_wide_factors_beside_a_narrow_diagonal_keep_the_digits_of_the_density():
    """Woodbury's difference of squares would leave none: they are 1e10, and their difference 1."""
    scale = np.exp(-8.0)
    q = LowRankNormal(jnp.zeros(2), jnp.full(2, -16.0), jnp.array([[30.0], [10.0]]))
    z, log_q = jax.jit(lambda q: q.sample_and_log_prob(KEY, (50,)))(q)
    along, across = (np.float64(z) @ np.array(v) / 10**0.5 for v in ([3, 1], [1, -3]))
    expected = stats.norm(0, np.hypot(1000**0.5, scale)).logpdf(along)
    expected += stats.norm(0, scale).logpdf(across)
    # z is rounded to 4e-6, so that across / scale is off by 1e-2, and its square by 0.05.
    np.testing.assert_allclose(log_q, expected, atol=0.1)


def test_extreme_parameters_give_no_nan():
    def values(mean, log_var, factor):
        full = FullNormal(jnp.stack([mean, 1.0]), jnp.stack([log_var, 0.0]), factor[None])
        low = LowRankNormal(full.mean, full.log_diagonal, jnp.full((2, 2), factor))
        log_q = [d.sample_and_log_prob(KEY)[1] for d in (full, low)]
        return sum(log_q), (log_q, [kl(d, StandardNormal(2)) for d in (full, low)])

    numbers = np.meshgrid([0, 1e18, -1e30], [-1e4, 0, 1e4], [0, 1e5, -1e30])
    extremes = np.float32(numbers).reshape(3, -1)
    of_each = jax.value_and_grad(values, (0, 1, 2), has_aux=True)
    for leaf in jax.tree.leaves(jax.jit(jax.vmap(of_each))(*extremes)):
        assert not np.isnan(leaf).any()


def test_parameters_that_do_not_fit_are_refused():
    for make in (
        lambda: FullNormal(jnp.zeros(3), jnp.zeros(3), jnp.zeros(2)),
        lambda: FullNormal(jnp.zeros(()), jnp.zeros(()), jnp.zeros(0)),
        lambda: LowRankNormal(jnp.zeros(3), jnp.zeros(3), jnp.zeros((2, 1))),
        lambda: LowRankNormal(jnp.zeros(3), jnp.zeros(2), jnp.zeros((3, 1))),
    ):
        with pytest.raises(ValueError, match=r"shape.*expected \(\*batch"):
            make().sample(KEY)
