import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from workshop.generative_models.core.quantizers import (
    code_counts,
    nearest_code,
    perplexity,
    straight_through,
)

small = st.integers(1, 9)
nearest = jax.jit(nearest_code)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)
vectors_of_six = hnp.arrays(np.float32, 6, elements=finite)


@jax.jit
def through(continuous, quantized, cotangent):
    value, pull = jax.vjp(straight_through, continuous, quantized)
    return value, *pull(cotangent)


def squared_distances(vectors, codebook):
    difference = vectors.astype(np.float64)[:, None] - codebook.astype(np.float64)[None]
    return np.square(difference).sum(-1)


@settings(max_examples=10)
@given(small, small, small, st.integers(0, 2**31 - 1))
def test_the_nearest_code_is_that_of_brute_force(n, codes, dim, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    codebook = rng.normal(size=(codes, dim)).astype(np.float32)
    chosen = np.asarray(nearest(vectors, codebook))
    distance = squared_distances(vectors, codebook)
    # float32 sums of `dim` products of numbers below 5: errors of dim * 25 * eps at the most.
    tolerance = dim * 25 * 1.2e-7
    assert (distance[np.arange(n), chosen] <= distance.min(1) + tolerance).all()
    clear = (distance > distance.min(1, keepdims=True) + tolerance).sum(1) == codes - 1
    np.testing.assert_array_equal(chosen[clear], distance.argmin(1)[clear])

    # Small whole numbers: all sums are exact, so ties are ties, and go to the lowest index.
    vectors = rng.integers(-2, 3, (n, dim)).astype(np.float32)
    codebook = rng.integers(-2, 3, (codes, dim)).astype(np.float32)
    expected = squared_distances(vectors, codebook).argmin(1)
    np.testing.assert_array_equal(nearest(vectors, codebook), expected)


@pytest.mark.parametrize("codes", [5, 67])
def test_of_two_equal_codes_the_first_is_taken(codes):
    rng = np.random.default_rng(codes)
    codebook = rng.normal(size=(codes, 7)).astype(np.float32)
    vectors = rng.normal(size=(200, 7)).astype(np.float32)
    once = nearest(vectors, codebook)
    np.testing.assert_array_equal(nearest(vectors, np.concatenate([codebook] * 2)), once)
    np.testing.assert_array_equal(nearest(codebook, codebook), np.arange(codes))


@settings(max_examples=20)
@given(vectors_of_six, vectors_of_six)
def test_straight_through_gives_the_codes_and_the_identity_gradient(continuous, quantized):
    quantized += np.float32(0)  # -0.0 is 0.0
    cotangent = np.array([1.0, -2.0, 0.0, 1e30, 1e-30, 3.0], np.float32)
    value, to_continuous, to_codes = through(continuous, quantized, cotangent)
    np.testing.assert_array_equal(np.asarray(value).view(np.int32), quantized.view(np.int32))
    np.testing.assert_array_equal(to_continuous, cotangent)
    np.testing.assert_array_equal(to_codes, np.zeros(6))


@settings(max_examples=8)
@given(small, small, small, st.integers(0, 2**31 - 1))
def test_counts_are_numpys_at_each_position(batch, positions, codes, seed):
    indices = np.random.default_rng(seed).integers(0, codes, (batch, positions))
    expected = [np.bincount(column, minlength=codes) for column in indices.T]
    counts = jax.jit(code_counts, static_argnums=1)(jnp.asarray(indices), codes)
    assert counts.dtype == jnp.float32
    np.testing.assert_array_equal(counts, expected)


def perplexity_among(codes, counts):
    """The perplexity of counts with unused codes behind them, which shall not matter."""
    padded = np.zeros(codes, np.float32)
    padded[: len(counts)] = counts
    return float(jax.jit(perplexity)(padded))


@pytest.mark.parametrize("counts", [[3, 1], [0, 5, 2, 0, 9], [1, 1000, 0]])
def test_perplexity_is_the_exponential_of_the_entropy(counts):
    expected = np.exp(stats.entropy(counts))
    assert perplexity_among(512, counts) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("codes", [1, 2, 10, 512])
def test_perplexity_is_the_number_of_evenly_used_codes(codes):
    # The sum of `codes` terms near log(codes) / codes, then an exponential: 512 * a few eps.
    assert perplexity_among(512, [3] * codes) == pytest.approx(codes, rel=5e-6)
    assert perplexity_among(codes, [7]) == 1.0


def test_perplexity_without_any_counts_is_not_nan():
    assert perplexity_among(512, []) == 1.0
