"""Stacks of quantizers against the recursion in float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.quantizers import FSQ, ResidualQuantizer, VectorQuantizer

K, SIZE, STAGES = 6, 3, 4


def stage(seed, **options):
    quantizer = VectorQuantizer(SIZE, K, rngs=nnx.Rngs(seed), **options)
    codes = np.random.default_rng(seed).normal(size=(K, SIZE)) / (1 + seed)
    quantizer.embeddings.embedding[...] = jnp.asarray(codes, jnp.float32)
    if quantizer.keeps:
        quantizer.average[...] = jnp.asarray(codes[None], jnp.float32)
    return quantizer


def book(quantizer):
    return np.asarray(quantizer.embeddings.embedding[...], np.float64)


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(9).normal(size=(5, 2, SIZE)), jnp.float32)


def recursion(x, books):
    """Return codes (stages, n, size), indices (n, stages) and squared residuals by stage."""
    left, codes, indices, gaps = np.asarray(x, np.float64).reshape(-1, SIZE), [], [], []
    for codebook in books:
        chosen = np.square(left[:, None] - codebook[None]).sum(-1).argmin(1)
        codes.append(codebook[chosen])
        indices.append(chosen)
        left = left - codes[-1]
        gaps.append(np.square(left).sum())
    return np.stack(codes), np.stack(indices, -1), np.array(gaps)


def test_each_stage_quantizes_what_is_left(x, quantize):
    stages = [stage(i) for i in range(STAGES)]
    codes, indices, gaps = recursion(x, map(book, stages))
    z_q, found, terms = quantize(ResidualQuantizer(stages), x)
    np.testing.assert_array_equal(found.reshape(-1, STAGES), indices)
    np.testing.assert_allclose(z_q.reshape(-1, SIZE), codes.sum(0), rtol=1e-5, atol=1e-6)
    assert float(terms["commitment_loss"]) == pytest.approx(gaps.sum() / 5, rel=1e-5)
    assert float(terms["loss"]) == pytest.approx(1.25 * gaps.sum() / 5, rel=1e-5)


@pytest.mark.parametrize("first", range(1, STAGES + 1))
def test_the_first_stages_alone_decode(x, first, lookup):
    stages = [stage(i) for i in range(STAGES)]
    codes, indices, _ = recursion(x, map(book, stages))
    given = jnp.asarray(indices[:, :first])
    found = lookup(ResidualQuantizer(stages), given)
    np.testing.assert_allclose(found, codes[:first].sum(0), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_gradient_passes_once(x):
    quantizer = ResidualQuantizer([stage(i) for i in range(STAGES)])
    g = jnp.asarray(np.random.default_rng(0).normal(size=x.shape), jnp.float32)
    _, pull = jax.vjp(lambda a: quantizer.quantize(a)[0], x)
    np.testing.assert_array_equal(pull(g)[0], g)


def test_dropout_keeps_the_first_stages_each_number_as_often(x, lookup):
    stages = [stage(i) for i in range(STAGES)]
    codes, indices, gaps = recursion(x, map(book, stages))
    quantizer = ResidualQuantizer(stages, dropout=True)
    run = jax.jit(lambda key: quantizer.quantize(x, key=key))
    counts = np.zeros(STAGES)
    for i in range(400):
        z_q, found, terms = run(jax.random.key(i))
        found = np.asarray(found).reshape(-1, STAGES)
        kept = int((found[0] >= 0).sum())
        counts[kept - 1] += 1
        if i < 20:
            np.testing.assert_array_equal(found[:, :kept], indices[:, :kept])
            assert (found[:, kept:] == -1).all()
            expected = codes[:kept].sum(0)
            np.testing.assert_allclose(z_q.reshape(-1, SIZE), expected, rtol=1e-5, atol=1e-6)
            commitment = gaps[:kept].sum() / 5
            assert float(terms["commitment_loss"]) == pytest.approx(commitment, rel=1e-5)
            np.testing.assert_allclose(lookup(quantizer, found), expected, rtol=1e-5, atol=1e-6)
    # 400 draws of four: 100 each, standard deviation 8.7; four of them.
    assert (np.abs(counts - 100) < 35).all()
    assert (quantizer.quantize(x)[1] >= 0).all()  # without a key all stages stay


def test_a_shared_codebook_is_averaged_over_all_stages(x, quantize):
    shared = stage(0, learning="ema", decay=0.7)
    quantizer = ResidualQuantizer([shared] * 3)
    codebook = book(shared)
    _, indices, _ = recursion(x, [codebook] * 3)
    left, counts, sums = np.asarray(x, np.float64).reshape(-1, SIZE), np.zeros(K), 0.0
    for s in range(3):
        counts += np.bincount(indices[:, s], minlength=K)
        part = np.zeros((K, SIZE))
        np.add.at(part, indices[:, s], left)
        sums, left = sums + part, left - codebook[indices[:, s]]
    quantizer.update(quantize(quantizer, x)[2]["statistics"])
    np.testing.assert_allclose(shared.cluster_size[0], 0.7 + 0.3 * counts, rtol=1e-5)
    np.testing.assert_allclose(shared.average[0], 0.7 * codebook + 0.3 * sums, rtol=1e-4, atol=1e-5)
    state = nnx.state(quantizer)
    assert sum(a.size for a in jax.tree.leaves(state)) == 2 * K * SIZE + K + 1  # one codebook


def test_stages_of_one_scale_read_what_is_left_enlarged(x, quantize, lookup):
    """Stage s of FSQ codes r · 5^s, so that two stages are one of 25 levels."""
    quantizer = ResidualQuantizer([FSQ(SIZE, (5,) * SIZE) for _ in range(2)], ratio=5.0)
    z_q, indices, _ = quantize(quantizer, x)
    first, left = FSQ(SIZE, (5,) * SIZE), np.asarray(x)
    one = np.asarray(first.quantize(x)[0])
    two = np.asarray(first.quantize(jnp.asarray((left - one) * 5))[0]) / 5
    np.testing.assert_allclose(z_q, one + two, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(lookup(quantizer, indices), one + two, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_stage_that_the_first_batch_drops_begins_later(x):
    """Else its codes would all be one vector, for good."""
    stages = [stage(i, learning="ema", kmeans=True) for i in range(3)]
    quantizer = ResidualQuantizer(stages, dropout=True)
    # A key that keeps the first stage only.
    keys = (jax.random.key(i) for i in range(100))
    key = next(k for k in keys if (quantizer.quantize(x, key=k)[1][0, 0] >= 0).sum() == 1)
    quantizer.update(quantizer.quantize(x, key=key)[2]["statistics"])
    assert [bool(s.begun[...]) for s in stages] == [True, False, False]


@pytest.mark.slow
def test_a_shared_codebook_begins_as_it_would_alone(x):
    alone, shared = (stage(0, learning="ema", kmeans=True) for _ in range(2))
    quantizer, key = ResidualQuantizer([shared] * 3), jax.random.key(0)
    quantizer.update(quantizer.quantize(x, key=key)[2]["statistics"])
    alone.update(alone.quantize(x, key=jax.random.split(key, 4)[0])[2]["statistics"])
    np.testing.assert_allclose(book(shared), book(alone), rtol=1e-5, atol=1e-6)
