"""The nearest code, draws by distance, counts, and what begins and revives a codebook."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workshop.generative_models.core.quantizers import code_counts, nearest_code, perplexity, search

small = st.integers(1, 9)
means_of = jax.jit(search.kmeans, static_argnames=("codes", "iterations", "unit"))
nearest = jax.jit(nearest_code)


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


@pytest.mark.parametrize(("n", "codes"), [(1, 1), (7, 9), (8, 8), (33, 65)])
def test_a_large_search_is_the_same_in_blocks(monkeypatch, n, codes):
    """Whole numbers: every sum is exact, so that ties are ties also across blocks."""
    rng = np.random.default_rng(n)
    vectors = rng.integers(-2, 3, (n, 4)).astype(np.float32)
    codebook = rng.integers(-2, 3, (codes, 4)).astype(np.float32)
    for name, value in (("WHOLE", 0), ("ROWS", 4), ("COLUMNS", 8)):
        monkeypatch.setattr(search, name, value)
    monkeypatch.setattr(search, "BLOCK", 3 * codes)
    assert " scan[" in str(jax.make_jaxpr(nearest_code)(vectors, codebook))
    expected = squared_distances(vectors, codebook).argmin(1)
    np.testing.assert_array_equal(jax.jit(lambda *a: nearest_code(*a))(vectors, codebook), expected)
    # The blocks of other platforms, here.
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *, cpu, default: default())
    np.testing.assert_array_equal(jax.jit(lambda *a: nearest_code(*a))(vectors, codebook), expected)


@pytest.mark.parametrize("whole", [search.WHOLE, 0])
def test_draws_are_a_softmax_of_the_distances(monkeypatch, whole):
    for name, value in (("WHOLE", whole), ("ROWS", 256), ("COLUMNS", 2)):
        monkeypatch.setattr(search, name, value)
    codebook = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    vector, temperature, n = np.float32([0.3, -0.2, 0.5]), 0.7, 20_000
    vectors, key = jnp.tile(vector, (n, 1)), jax.random.key(0)
    drawn = nearest_code(vectors, jnp.asarray(codebook), temperature=temperature, key=key)
    logits = -0.5 * squared_distances(vector[None], codebook)[0] / temperature
    p = np.exp(logits - logits.max())
    p /= p.sum()
    # A binomial's standard error is at most sqrt(1/4n) = 0.0035: five of them, and no retries.
    np.testing.assert_allclose(np.bincount(drawn, minlength=5) / n, p, atol=0.018)
    with pytest.raises(ValueError, match="pass a key"):
        nearest_code(vectors, vectors, temperature=1.0)


def test_counts_leave_out_what_is_no_code():
    indices = jnp.asarray([[0, 2], [-1, 2], [1, -1]])
    weights = jnp.asarray([[1.0, 0.5], [1.0, 2.0], [3.0, 1.0]])
    np.testing.assert_array_equal(code_counts(indices, 3), [[1, 1, 0], [0, 0, 2]])
    np.testing.assert_array_equal(code_counts(indices, 3, weights), [[1, 3, 0], [0, 0, 2.5]])


class TestSpread:
    def test_places_come_by_weight(self):
        weights = np.float32([0.0, 1.0, 3.0, 0.0, 6.0])
        counts, draw = np.zeros(5), jax.jit(search.spread, static_argnums=1)
        for i in range(200):
            places, _ = draw(jnp.asarray(weights), 10, jax.random.key(i))
            counts += np.bincount(places, minlength=5)
        # One draw from each tenth of the weight: 1, 3 and 6 of them, whatever the key.
        np.testing.assert_array_equal(counts, 200 * weights)

    def test_a_place_is_new_once_and_only_with_a_weight(self):
        places, new = search.spread(jnp.asarray([0.0, 5.0, 1.0, 1.0]), 7, jax.random.key(0))
        assert (np.diff(new) <= 0).all()  # the new ones first
        np.testing.assert_array_equal(np.sort(places[new > 0]), np.unique(places))
        _, none = search.spread(jnp.zeros(4), 3, jax.random.key(0))
        assert not none.any()


def test_empty_codes_take_what_is_new():
    codes = jnp.arange(5.0)[:, None]
    empty = jnp.asarray([False, True, False, True, True])
    spare, new = 10.0 + codes, jnp.asarray([1.0, 1.0, 0.0, 0.0, 0.0])
    filled, begins = search.refill(codes, empty, spare, new)
    np.testing.assert_array_equal(filled[:, 0], [0.0, 10.0, 2.0, 11.0, 4.0])
    np.testing.assert_array_equal(begins, [False, True, False, True, False])


class TestKMeans:
    def test_clusters_far_apart_are_found(self):
        rng = np.random.default_rng(0)
        centres = 100 * rng.normal(size=(6, 3))
        points = np.repeat(centres, 20, 0) + rng.normal(size=(120, 3))
        means = means_of(
            jnp.asarray(points, jnp.float32), jnp.ones(120), jax.random.key(0), codes=6
        )
        expected = points.reshape(6, 20, 3).mean(1)
        order = [np.linalg.norm(means - e, axis=1).argmin() for e in expected]
        # float32 means of numbers near 200.
        np.testing.assert_allclose(means[np.array(order)], expected, rtol=1e-5, atol=1e-4)

    def test_equal_vectors_take_one_mean_only(self):
        """Nine of ten vectors are one; the others are all different, and all are found."""
        rare = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
        points = np.concatenate([np.ones((90, 3), np.float32), rare])
        means = means_of(
            jnp.asarray(points), jnp.ones(100), jax.random.key(0), codes=11, iterations=20
        )
        gaps = squared_distances(points, np.asarray(means)).min(1)
        np.testing.assert_allclose(gaps, 0.0, atol=1e-9)

    def test_weights_of_zero_are_not_there(self):
        points = jnp.asarray(np.random.default_rng(0).normal(size=(30, 2)), jnp.float32)
        weights = jnp.asarray(np.arange(30) < 12, jnp.float32)

        def run(x, w):
            return means_of(x, w, jax.random.key(0), codes=4)

        np.testing.assert_allclose(run(points, weights), run(points[:12], jnp.ones(12)), rtol=1e-5)

    def test_unit_means_stay_on_the_sphere(self):
        points = search.unit_length(jax.random.normal(jax.random.key(0), (40, 3)))
        means = means_of(points, jnp.ones(40), jax.random.key(1), codes=5, unit=True)
        np.testing.assert_allclose(np.linalg.norm(means, axis=1), 1.0, rtol=1e-6)


def test_unit_length_has_a_finite_gradient_at_zero():
    x = jnp.asarray([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(search.unit_length(x), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    assert np.isfinite(jax.grad(lambda a: search.unit_length(a).sum())(x)).all()
