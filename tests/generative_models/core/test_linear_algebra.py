"""Small factors, systems and inverses against NumPy, and derivatives against JAX, in float64."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.scipy.linalg import solve_triangular as lapack_solve

from workshop.generative_models.core.distributions import FullNormal, LowRankNormal
from workshop.generative_models.core.linear_algebra import (
    cholesky,
    inverse_and_log_det,
    solve_triangular,
)


def positive_definite(size, batch, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(*batch, size, size))
    return root @ np.swapaxes(root, -1, -2) + 0.1 * np.eye(size), rng.normal(size=(*batch, size, 2))


@given(size=st.integers(1, 9), batch=st.lists(st.integers(1, 3), max_size=2))
def test_the_values_are_those_of_numpy(size, batch):
    matrix, values = positive_definite(size, batch)
    lower = np.linalg.cholesky(matrix)
    with jax.enable_x64(True):
        given_matrix, given_lower, given_values = map(jnp.asarray, (matrix, lower, values))
        found = cholesky(given_matrix), *inverse_and_log_det(given_matrix)
        solved = [solve_triangular(given_lower, given_values, way) for way in (False, True)]
    expected = lower, np.linalg.inv(matrix), np.linalg.slogdet(matrix)[1]
    expected_solved = [
        np.linalg.solve(each, values) for each in (lower, np.swapaxes(lower, -1, -2))
    ]
    # The condition number is below 1e4: LAPACK's own results are no closer.
    for mine, theirs in zip((*found, *solved), (*expected, *expected_solved), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-10)


def test_one_matrix_serves_many_values():
    matrix, values = positive_definite(3, (4,))
    lower = np.linalg.cholesky(matrix[0])
    with jax.enable_x64(True):
        found = solve_triangular(jnp.asarray(lower), jnp.asarray(values))
    np.testing.assert_allclose(found, np.linalg.solve(lower, values), rtol=1e-10)


def ours(matrix, values):
    lower = cholesky(matrix)
    inverse, log_det = inverse_and_log_det(matrix)
    up, down = (solve_triangular(lower, values, way) for way in (True, False))
    return lower, inverse, log_det, up, down


def lapack(matrix, values):
    lower = jnp.linalg.cholesky(matrix)
    up, down = (lapack_solve(lower, values, lower=True, trans=way) for way in "TN")
    return lower, jnp.linalg.inv(matrix), jnp.linalg.slogdet(matrix)[1], up, down


def test_first_and_second_derivatives_are_those_of_lapack():
    matrix, values = positive_definite(4, (2,))

    def derivatives(functions):
        def number(matrix, values):
            return sum(jnp.sin(each).sum() for each in functions(matrix, values))

        def slope(matrix, values):
            return sum(jnp.cos(each).sum() for each in jax.grad(number, (0, 1))(matrix, values))

        return *jax.grad(number, (0, 1))(matrix, values), *jax.grad(slope, (0, 1))(matrix, values)

    with jax.enable_x64(True):
        matrix, values = map(jnp.asarray, (matrix, values))
        found, expected = (
            [np.asarray(each) for each in derivatives(functions)] for functions in (ours, lapack)
        )
    for mine, theirs in zip(found, expected, strict=True):
        if (
            mine.shape == matrix.shape
        ):  # only symmetric changes of a symmetric matrix mean something
            mine, theirs = (0.5 * (each + np.swapaxes(each, -1, -2)) for each in (mine, theirs))
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-8 * np.abs(theirs).max())


def test_a_matrix_that_is_not_positive_definite_gives_nan():
    matrix = jnp.diag(jnp.array([1.0, -1.0]))
    assert np.isnan(cholesky(matrix)).any()
    assert np.isnan(inverse_and_log_det(matrix)[1])


def test_no_distribution_calls_lapack():
    def number(mean, entries, factor, z):
        full, low = FullNormal(mean, mean, entries), LowRankNormal(mean, mean, factor)
        return (full.log_prob(z) + low.log_prob(z)).sum()

    shapes = (5, 3), (5, 3), (5, 3, 2), (4, 5, 3)
    program = jax.jit(jax.grad(number, (0, 1, 2, 3))).lower(*map(jnp.zeros, shapes))
    assert "lapack" not in program.as_text()


STEP = """
import jax, numpy as np
from flax import nnx
from workshop.generative_models.core.configuration import (
    DecoderConfig, EncoderConfig, RiemannianHamiltonianConfig, VAEConfig)
from workshop.generative_models.models.vae import VAE

sizes = {"hidden_dims": [512], "latent_dim": 20}
model = VAE(VAEConfig(
    encoder=EncoderConfig(input_shape=[784], **sizes), likelihood="bce",
    decoder=DecoderConfig(output_shape=[784], **sizes),
    posterior=RiemannianHamiltonianConfig(),
), rngs=nnx.Rngs(0))
x = np.zeros((128, 784), np.float32)
step = nnx.jit(nnx.grad(lambda model: model.loss_fn(x)["loss"]))
jax.block_until_ready(nnx.state(step(model)))
"""


@pytest.mark.slow
def test_a_large_step_of_the_riemannian_posterior_ends():
    # With LAPACK's Cholesky factors and solutions it waited forever on two cores.
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", STEP], check=True, timeout=300, env=environment)
