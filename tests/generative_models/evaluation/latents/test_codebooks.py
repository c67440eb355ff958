"""Usage, distances and collapse of codebooks, against brute force and scipy in float64."""

import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import spatial, stats

from workshop.generative_models.evaluation.latents import codebook_health, verdict


@given(arrays(np.int32, array_shapes(max_dims=4, max_side=6), elements=st.integers(0, 6)))
def test_usage_is_that_of_collections_and_scipy(indices):
    health = codebook_health(indices, 9)
    flat = indices.reshape(-1).tolist()
    assert health.counts.tolist() == [flat.count(code) for code in range(9)]
    assert health.dead.tolist() == sorted(set(range(9)) - set(flat))
    assert (health.used, health.share) == (len(set(flat)), len(set(flat)) / 9)
    entropy = stats.entropy([flat.count(code) for code in range(9)])
    # Sums of nine float64 terms.
    assert health.perplexity == pytest.approx(np.exp(entropy), rel=1e-12)
    assert health.bits == pytest.approx(entropy / np.log(2), rel=1e-12, abs=1e-15)
    assert health.distances is None


@pytest.mark.parametrize(
    ("indices", "perplexity", "bits"),
    [([4, 4, 4], 1, 0), (range(8), 8, 3), ([0, 0, 1, 2], 2**1.5, 1.5)],
)
def test_perplexities_known_by_hand(indices, perplexity, bits):
    # Of shares (1/2, 1/4, 1/4) the entropy is 1/2 + 1/4 * 2 + 1/4 * 2 bits.
    health = codebook_health(indices, 8)
    assert health.perplexity == pytest.approx(perplexity, rel=1e-14)
    assert health.bits == pytest.approx(bits, abs=1e-14)
    assert not np.signbit(health.bits)


def test_no_code_is_left_out_and_arrays_of_jax_are_read():
    indices = jnp.array([[[0, -1], [3, -1]], [[3, 2], [-1, -1]]], jnp.int32)
    health = codebook_health(indices, 5, jnp.arange(5.0)[:, None] ** 2)
    assert health.counts.tolist() == [1, 0, 1, 2, 0]
    assert health.distances.tolist() == [1.0, 1.0, 3.0, 5.0, 7.0]
    # Unsigned integers have no -1 but are counted all the same.
    assert codebook_health(np.array([255, 0], np.uint8), 256).used == 2


def brute_force(codes):
    distances = spatial.distance.cdist(codes, codes)
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)


def distances(codes):
    return codebook_health([0], len(codes), codes).distances


@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 2**31 - 1))
def test_distances_are_those_of_brute_force(n, dim, seed):
    rng = np.random.default_rng(seed)
    codes = 100 + rng.normal(size=(n, dim)) * 10.0 ** rng.integers(-3, 3, (n, 1))
    # A neighbour found wrongly is one as near as rounding: products up to 1e6 to 16 digits, whose
    # error of a few 1e-10 in a squared distance is 2e-5 at the most in a distance near 0.
    np.testing.assert_allclose(distances(codes), brute_force(codes), rtol=1e-9, atol=2e-5)


def test_copies_are_at_zero_and_a_lone_code_has_no_neighbour():
    codes = np.random.default_rng(0).normal(size=(7, 16)) + 1e3
    assert (distances(np.concatenate([codes, codes])) == 0).all()
    np.testing.assert_array_equal(codebook_health([0], 1, [[3.0]]).distances, [np.inf])
    assert verdict(codebook_health([0, 0], 1)) is None


def test_distances_of_many_codes_never_need_the_whole_matrix():
    codes = np.random.default_rng(1).normal(size=(3000, 8))
    tracemalloc.start()
    found = distances(codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The codes, several times copied, have 0.2 MiB each; the matrix would have 69.
    assert peak < 3 * 2**20
    nearest = spatial.KDTree(codes).query(codes, k=2)[0][:, 1]
    np.testing.assert_allclose(found, nearest, rtol=1e-12)


def test_collapse_is_named_with_its_remedies():
    health = codebook_health(np.arange(37).repeat(1000), 512)
    assert verdict(health) == (
        "37 of 512 codes used: try k-means initialisation (kmeans), revival of dead codes "
        "(revive_below), or FSQ"
    )
    assert verdict(codebook_health(np.arange(256).repeat(1000), 512)) is None
    assert verdict(codebook_health(np.arange(255).repeat(1000), 512)) is not None


def test_few_indices_are_judged_by_what_they_could_reach():
    # 200 indices reach 512 (1 - (511/512)^200) = 165.7 of 512 codes on average: 83 are enough.
    indices = np.arange(200)
    assert verdict(codebook_health(indices % 83, 512)) is None
    assert verdict(codebook_health(indices % 82, 512)).startswith(
        "82 of 512 codes used (of about 166 that 200 indices would reach): try"
    )
    assert verdict(codebook_health([3], 512)) is None


def false_alarm(n, size):
    """Return P(fewer than half of the expected codes) of even use: exactly, code after code."""
    distinct = np.zeros(n + 1)
    distinct[0] = 1.0
    seen = np.arange(n + 1)
    for _ in range(n):
        new = np.concatenate([[0.0], (distinct * np.maximum(size - seen, 0) / size)[:-1]])
        distinct = distinct * seen / size + new
    expected = size * (1 - (1 - 1 / size) ** n)
    return distinct[2 * seen < expected].sum()


@pytest.mark.parametrize(("n", "chance"), [(12, 1e-3), (32, 1e-6), (100, 1e-16)])
def test_even_use_is_hardly_ever_called_collapse(n, chance):
    assert max(false_alarm(n, size) for size in range(1, 5 * n)) < chance


WRONG = [
    (lambda: codebook_health([0.5], 4), r"\(indices\).*whole numbers, got float64"),
    (lambda: codebook_health(np.array([2**64 - 1], np.uint64), 4), "got 18446744073709551615 to"),
    (lambda: codebook_health([0, 4], 4), r"\(indices\).*< 4 \(codebook_size\).*0 to 4"),
    (lambda: codebook_health([0, -2], 4), r"\(indices\).*-1 for no code, got -2 to 0"),
    (lambda: codebook_health([-1, -1], 4), r"\(indices\).*at least one index"),
    (lambda: codebook_health(np.zeros((0, 3), int), 4), r"\(indices\).*at least one.*\(0, 3\)"),
    (lambda: codebook_health([0], 0), "codebook_size=0"),
    (lambda: codebook_health([0], 2, np.zeros((4, 3))), r"\(codes\).*\(2, dim\).*\(4, 3\).*one"),
    (lambda: codebook_health([0], 2, [1.0, 2.0]), r"\(codes\).*\(n, dim\).*\(2,\)"),
    (lambda: codebook_health([0], 2, [[1.0], [np.nan]]), r"\(codes\).*finite"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
