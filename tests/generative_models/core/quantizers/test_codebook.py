"""Codebooks: losses, averages, beginnings, revivals, penalties, in float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.quantizers import SimVQ, VectorQuantizer, search

K, SIZE = 5, 3


def make(**options):
    quantizer = VectorQuantizer(SIZE * options.get("heads", 1), K, rngs=nnx.Rngs(0), **options)
    codes = np.random.default_rng(0).normal(size=quantizer.embeddings.embedding.shape)
    quantizer.embeddings.embedding[...] = jnp.asarray(codes, jnp.float32)
    if quantizer.keeps:
        quantizer.average[...] = jnp.asarray(codes.reshape(quantizer.average.shape), jnp.float32)
    return quantizer


def vectors(*shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def book(quantizer):
    return np.asarray(quantizer.embeddings.embedding[...], np.float64)


def nearest(x, codes):
    return np.square(np.asarray(x, np.float64)[:, None] - codes[None]).sum(-1).argmin(1)


class TestLosses:
    def test_squared_distances_summed_over_an_example(self, quantize):
        quantizer, x = make(commitment_cost=0.5), vectors(4, 6, SIZE)
        codes = book(quantizer)[nearest(x.reshape(-1, SIZE), book(quantizer))]
        distance = np.square(np.asarray(x, np.float64).reshape(-1, SIZE) - codes).sum() / 4
        _, _, terms = quantize(quantizer, x)
        assert float(terms["commitment_loss"]) == pytest.approx(distance, rel=1e-5)
        assert float(terms["codebook_loss"]) == pytest.approx(distance, rel=1e-5)
        assert float(terms["loss"]) == pytest.approx(1.5 * distance, rel=1e-5)

    @pytest.mark.parametrize("shared", [True, False])
    def test_heads_choose_each_for_a_part(self, shared, quantize):
        quantizer, x = make(heads=2, shared=shared), vectors(4, 2 * SIZE)
        codes = book(quantizer)
        books = (codes, codes) if shared else (codes[:K], codes[K:])
        parts = np.asarray(x, np.float64).reshape(4, 2, SIZE)
        expected = np.stack([nearest(parts[:, h], books[h]) for h in range(2)], 1)
        z_q, indices, _ = quantize(quantizer, x)
        np.testing.assert_array_equal(indices, expected)
        chosen = np.concatenate([books[h][expected[:, h]] for h in range(2)], 1)
        np.testing.assert_allclose(z_q, chosen, rtol=1e-6)

    def test_cosine_is_the_angle(self, quantize):
        quantizer, x = make(distance="cosine"), 10 * vectors(20, SIZE)

        def unit(a):
            return a / np.linalg.norm(a, axis=-1, keepdims=True)

        cosine = unit(np.asarray(x, np.float64)) @ unit(book(quantizer)).T
        z_q, indices, terms = quantize(quantizer, x)
        np.testing.assert_array_equal(indices, cosine.argmax(1))
        np.testing.assert_allclose(z_q, unit(book(quantizer))[cosine.argmax(1)], rtol=1e-5)
        # ‖u - v‖² = 2 - 2 cos, a mean over 20 examples of one code.
        expected = (2 - 2 * cosine.max(1)).mean()
        assert float(terms["commitment_loss"]) == pytest.approx(expected, rel=1e-5)

    def test_orthogonality_is_the_mean_squared_cosine(self, quantize):
        quantizer = make(orthogonal_cost=1.0)
        codes = book(quantizer)
        unit = codes / np.linalg.norm(codes, axis=-1, keepdims=True)
        expected = np.square(unit @ unit.T).mean() - 1 / K
        found = quantize(quantizer, vectors(2, SIZE))[2]["orthogonal_loss"]
        assert float(found) == pytest.approx(expected, rel=1e-5)
        quantizer.embeddings.embedding[:3] = jnp.eye(3)  # three codes at right angles, two not
        assert float(quantize(quantizer, vectors(2, SIZE))[2]["orthogonal_loss"]) > 0

    def test_entropies_of_soft_choices(self, quantize):
        temperature = 0.6
        quantizer = make(diversity_cost=1.0, entropy_cost=1.0, diversity_temperature=temperature)
        x = vectors(4, 6, SIZE)
        flat = np.asarray(x, np.float64).reshape(-1, SIZE)
        distance = np.square(flat[:, None] - book(quantizer)[None]).sum(-1)
        p = np.exp(-0.5 * distance / temperature)
        p /= p.sum(1, keepdims=True)
        mean = p.mean(0)
        _, _, terms = quantize(quantizer, x)
        # In nats for each of an example's six codes.
        diversity, entropy = 6 * (mean * np.log(mean)).sum(), -6 * (p * np.log(p)).sum(1).mean()
        assert float(terms["diversity_loss"]) == pytest.approx(diversity, rel=1e-5)
        assert float(terms["entropy_loss"]) == pytest.approx(entropy, rel=1e-5)

    def test_a_draw_needs_a_key_and_a_temperature(self, quantize):
        quantizer, x = make(temperature=50.0), vectors(200, SIZE)
        plain = quantize(quantizer, x)[1]
        np.testing.assert_array_equal(plain, nearest(x, book(quantizer)))
        drawn = quantize(quantizer, x, key=jax.random.key(0))[1]
        # So hot that every code is as likely: a fifth agree by chance, give or take 0.03.
        assert 0.1 < float((drawn == plain).mean()) < 0.35


class TestAverages:
    @pytest.mark.sampled
    @pytest.mark.parametrize("heads", [1, 2])
    def test_moving_averages_with_laplace_smoothing(self, heads, quantize):
        decay, epsilon = 0.8, 0.01
        options = {} if heads == 1 else {"heads": 2, "shared": False}
        quantizer = make(learning="ema", decay=decay, epsilon=epsilon, **options)
        codes = book(quantizer).reshape(heads, K, SIZE)
        size, total = np.ones((heads, K)), codes.copy()
        for step in range(4):
            x = vectors(7, heads * SIZE, seed=step + 10)
            mask = np.arange(7) != step
            _, _, terms = quantize(quantizer, x, mask=mask)
            quantizer.update(terms["statistics"])
            for h in range(heads):
                part = np.asarray(x, np.float64).reshape(7, heads, SIZE)[mask, h]
                chosen = nearest(part, codes[h])
                sums = np.zeros((K, SIZE))
                np.add.at(sums, chosen, part)
                size[h] = decay * size[h] + (1 - decay) * np.bincount(chosen, minlength=K)
                total[h] = decay * total[h] + (1 - decay) * sums
                n = size[h].sum()
                codes[h] = total[h] / ((size[h] + epsilon) / (n + K * epsilon) * n)[:, None]
        np.testing.assert_allclose(quantizer.cluster_size[...], size, rtol=1e-5)
        np.testing.assert_allclose(quantizer.average[...], total, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(book(quantizer), codes.reshape(-1, SIZE), rtol=1e-4, atol=1e-6)

    def test_gradients_do_not_train_averaged_or_frozen_codes(self, quantize):
        for learning in ("ema", "frozen"):
            quantizer = make(learning=learning)
            assert not jax.tree.leaves(nnx.state(quantizer, nnx.Param))
            assert float(quantize(quantizer, vectors(2, SIZE))[2]["codebook_loss"]) == 0.0
        frozen = make(learning="frozen")
        before = book(frozen)
        frozen.update(frozen.quantize(vectors(9, SIZE), key=jax.random.key(0))[2]["statistics"])
        np.testing.assert_array_equal(book(frozen), before)


class TestBeginnings:
    @pytest.mark.sampled
    @pytest.mark.parametrize("learning", ["loss", "ema"])
    def test_the_first_batch_makes_the_codes(self, learning, quantize):
        quantizer = make(learning=learning, kmeans=True)
        centres = 50 * np.random.default_rng(3).normal(size=(K, SIZE))
        x = np.repeat(centres, 8, 0) + np.random.default_rng(4).normal(size=(8 * K, SIZE))
        x = jnp.asarray(x, jnp.float32)
        z_q, indices, terms = quantize(quantizer, x, key=jax.random.key(0))
        means = np.asarray(x).reshape(K, 8, SIZE).mean(1)
        # What this very pass chose from are the means already.
        np.testing.assert_allclose(z_q, np.repeat(means, 8, 0), rtol=1e-4, atol=1e-3)
        quantizer.update(terms["statistics"])
        order = np.asarray(indices).reshape(K, 8)[:, 0]
        # An average is smoothed by 1e-5 of a code.
        np.testing.assert_allclose(book(quantizer)[order], means, rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(quantizer.cluster_size[...], np.full((1, K), 8.0))
        assert bool(quantizer.begun[...])
        # The next batch begins nothing.
        again = quantize(quantizer, 10 + x, key=jax.random.key(1))[2]["statistics"]["codes"][0]
        np.testing.assert_allclose(again, book(quantizer), rtol=1e-6)

    def test_without_a_key_nothing_begins(self, quantize):
        quantizer = make(kmeans=True)
        quantizer.update(quantize(quantizer, vectors(9, SIZE))[2]["statistics"])
        assert not bool(quantizer.begun[...])


class TestRevival:
    def test_a_dead_code_begins_anew_at_a_vector_far_from_its_code(self, quantize):
        quantizer = make(learning="ema", decay=0.5, revive_below=0.3)
        codes = book(quantizer)
        x = np.repeat(codes[:2], 10, 0)  # only the first two codes are used ...
        x[-1] += 3.0  # ... and one vector is far from both
        x = jnp.asarray(x, jnp.float32)
        quantizer.cluster_size[...] = jnp.asarray([[10.0, 10.0, 0.1, 8.0, 0.1]])
        before = np.asarray(quantizer.average[...])
        _, indices, terms = quantize(quantizer, x, key=jax.random.key(0))
        quantizer.update(terms["statistics"])
        counts = np.bincount(indices, minlength=K)
        size = 0.5 * np.float64([10.0, 10.0, 0.1, 8.0, 0.1]) + 0.5 * counts
        dead = size < 0.3 * size.mean()
        assert dead.tolist() == [False, False, True, False, True]
        # All the distance is in one vector, so one dead code gets it; the other one waits.
        far = np.asarray(x[-1])
        revived = [k for k in (2, 4) if np.allclose(book(quantizer)[k], far, rtol=1e-6)]
        assert len(revived) == 1
        np.testing.assert_allclose(quantizer.average[0, revived[0]], far * size.mean(), rtol=1e-5)
        assert float(quantizer.cluster_size[0, revived[0]]) == pytest.approx(size.mean(), rel=1e-6)
        living = ~dead
        np.testing.assert_allclose(quantizer.cluster_size[0, living], size[living], rtol=1e-6)
        sums = np.zeros((K, SIZE))
        np.add.at(sums, np.asarray(indices), np.asarray(x, np.float64))
        expected = 0.5 * before[0] + 0.5 * sums
        np.testing.assert_allclose(
            quantizer.average[0, living], expected[living], rtol=1e-5, atol=1e-6
        )

    def test_codes_that_the_loss_trains_are_revived_too(self, quantize):
        quantizer = make(decay=0.0, revive_below=0.5)
        x = vectors(30, SIZE)
        used = np.unique(nearest(x, book(quantizer)))
        far = jnp.asarray(book(quantizer)).at[3].set(1e3)  # nothing is near the fourth code
        quantizer.embeddings.embedding[...] = far
        quantizer.update(quantize(quantizer, x, key=jax.random.key(0))[2]["statistics"])
        assert 3 in used
        assert np.isclose(np.asarray(x), book(quantizer)[3], rtol=1e-6).all(1).any()

    def test_without_a_key_none_is_revived(self, quantize):
        quantizer = make(decay=0.0, revive_below=0.5)
        quantizer.embeddings.embedding[3] = jnp.full(SIZE, 1e3)
        quantizer.update(quantize(quantizer, vectors(30, SIZE))[2]["statistics"])
        np.testing.assert_array_equal(book(quantizer)[3], 1e3)


class TestSimVQ:
    @pytest.mark.slow
    def test_codes_are_the_frozen_ones_through_the_map(self):
        quantizer, x = SimVQ(SIZE, K, rngs=nnx.Rngs(0)), vectors(8, SIZE)
        frozen, kernel = (
            np.asarray(a, np.float64)
            for a in (quantizer.embeddings.embedding[...], quantizer.map.kernel[...])
        )
        codes = frozen @ kernel
        chosen = nearest(x, codes)
        z_q, indices, terms = quantizer.quantize(x)
        np.testing.assert_array_equal(indices, chosen)
        np.testing.assert_allclose(z_q, codes[chosen], rtol=1e-5, atol=1e-6)
        distance = np.square(np.asarray(x, np.float64) - codes[chosen]).sum() / 8
        assert float(terms["loss"]) == pytest.approx(1.25 * distance, rel=1e-5)

        def loss(params):
            model = nnx.merge(graph, params, rest)
            return model.quantize(x)[2]["loss"]

        graph, params, rest = nnx.split(quantizer, nnx.Param, ...)
        gradient = jax.grad(loss)(params)
        assert len(jax.tree.leaves(gradient)) == 1  # the map alone learns
        expected = frozen[chosen].T @ (2 * (codes[chosen] - np.asarray(x, np.float64))) / 8
        np.testing.assert_allclose(gradient["map"]["kernel"][...], expected, rtol=1e-4, atol=1e-6)


def test_a_search_in_blocks_changes_nothing(monkeypatch, quantize):
    quantizer, x = make(learning="ema"), vectors(50, SIZE)
    whole = quantize(quantizer, x)
    for name, value in (("WHOLE", 0), ("ROWS", 8), ("COLUMNS", 2)):
        monkeypatch.setattr(search, name, value)
    np.testing.assert_array_equal(quantize(quantizer, x)[1], whole[1])
