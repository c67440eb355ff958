"""The gradients that pass a choice of codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workshop.generative_models.core.quantizers import rotate_to, straight_through

finite = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
vectors_of_six = hnp.arrays(np.float32, 6, elements=finite)


@jax.jit
def through(continuous, quantized, cotangent):
    value, pull = jax.vjp(straight_through, continuous, quantized)
    return value, *pull(cotangent)


@settings(max_examples=20)
@given(vectors_of_six, vectors_of_six)
def test_straight_through_gives_the_codes_and_the_identity_gradient(continuous, quantized):
    quantized += np.float32(0)  # -0.0 is 0.0
    cotangent = np.array([1.0, -2.0, 0.0, 1e30, 1e-30, 3.0], np.float32)
    value, to_continuous, to_codes = through(continuous, quantized, cotangent)
    np.testing.assert_array_equal(np.asarray(value).view(np.int32), quantized.view(np.int32))
    np.testing.assert_array_equal(to_continuous, cotangent)
    np.testing.assert_array_equal(to_codes, np.zeros(6))


def rotation(z, q):
    """R and ‖q‖ / ‖z‖ in float64: the rotation in the plane of z and q that takes z's way to q's.

    Written as Rodrigues' formula, not as the paper's reflections: R = I + sin θ (v uᵀ - u vᵀ)
    + (cos θ - 1)(u uᵀ + v vᵀ), u along z and v at a right angle to it towards q.
    """
    z, q = np.asarray(z, np.float64), np.asarray(q, np.float64)
    u, goal = z / np.linalg.norm(z), q / np.linalg.norm(q)
    cosine = u @ goal
    v = goal - cosine * u
    sine = np.linalg.norm(v)
    v = v / sine
    turn = sine * (np.outer(v, u) - np.outer(u, v))
    stay = (cosine - 1) * (np.outer(u, u) + np.outer(v, v))
    return np.eye(len(z)) + turn + stay, np.linalg.norm(q) / np.linalg.norm(z)


@pytest.mark.parametrize("seed", range(5))
def test_the_rotation_trick_is_a_rotation(seed):
    rng = np.random.default_rng(seed)
    z, q, cotangent = rng.normal(size=(3, 5)).astype(np.float32)
    value, pull = jax.vjp(rotate_to, jnp.asarray(z), jnp.asarray(q))
    to_z, to_q = pull(jnp.asarray(cotangent))
    turn, ratio = rotation(z, q)
    np.testing.assert_array_equal(value, q)
    np.testing.assert_array_equal(to_q, np.zeros(5))
    np.testing.assert_allclose(turn @ turn.T, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(ratio * turn @ z, q, rtol=1e-6)  # the oracle does what it is for
    # Sums of five products of numbers up to 3 in float32, times a ratio of lengths up to 3.
    np.testing.assert_allclose(to_z, ratio * turn.T @ cotangent, rtol=2e-5, atol=1e-5)


def test_the_rotation_trick_keeps_the_angle_between_gradient_and_vector():
    """What the paper is about: the angle at q of a gradient is the angle at z of what arrives."""
    rng = np.random.default_rng(0)
    z, q, g = rng.normal(size=(3, 100, 8)).astype(np.float32)
    arrived = jax.vjp(rotate_to, jnp.asarray(z), jnp.asarray(q))[1](jnp.asarray(g))[0]

    def cosine(a, b):
        return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    np.testing.assert_allclose(cosine(np.asarray(arrived), z), cosine(g, q), atol=2e-5)


def test_equal_vectors_pass_the_gradient_as_it_is():
    z = jnp.asarray([[1.0, 2.0, -1.0], [0.0, 0.0, 3.0]])
    g = jnp.asarray([[1.0, -1.0, 2.0], [0.5, 0.0, 1.0]])
    np.testing.assert_allclose(jax.vjp(rotate_to, z, z)[1](g)[0], g, atol=1e-6)


def test_zeros_and_opposites_stay_finite():
    z = jnp.asarray([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    q = jnp.asarray([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    value, pull = jax.vjp(rotate_to, z, q)
    np.testing.assert_array_equal(value, q)
    assert np.isfinite(pull(jnp.ones((3, 2)))[0]).all()
