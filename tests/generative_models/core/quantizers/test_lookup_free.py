"""Quantizers without a codebook: FSQ against the paper's code, LFQ and BSQ against enumeration."""

from itertools import product
from math import log, prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from workshop.generative_models.core.quantizers import BSQ, FSQ, LFQ, levels_for
from workshop.generative_models.core.quantizers.binary import codebook_entropy
from workshop.generative_models.core.quantizers.scalar import LEVELS


def vectors(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def paper(z, levels):
    """Codes and indices as in appendix A.1 of Mentzer et al. 2023, in float64 numpy."""
    levels = np.asarray(levels)
    half_l = (levels - 1) * (1 + 1e-3) / 2
    offset = np.where(levels % 2 == 1, 0.0, 0.5)
    shift = np.arctanh(offset / half_l)
    rounded = np.round(np.tanh(np.asarray(z, np.float64) + shift) * half_l - offset)
    codes = rounded / (levels // 2)
    basis = np.concatenate([[1], np.cumprod(levels[:-1])])
    return codes, ((codes * (levels // 2) + levels // 2) * basis).sum(-1).astype(int)


class TestFSQ:
    @pytest.mark.sampled
    @pytest.mark.parametrize("levels", [*LEVELS.values(), (4, 3), (4, 4, 7)])
    def test_codes_and_indices_are_the_papers(self, levels, quantize):
        z = 2 * vectors(200, len(levels))
        codes, indices = paper(z, levels)
        z_q, found, _ = quantize(FSQ(len(levels), levels), z)
        np.testing.assert_array_equal(found, indices)
        np.testing.assert_allclose(z_q, codes, rtol=1e-6)

    @pytest.mark.parametrize("levels", [(8, 6, 5), (3, 3), (4, 6, 7)])
    def test_indices_are_a_bijection(self, levels, quantize, lookup):
        """All codes there are, each from its own index and back."""
        quantizer = FSQ(len(levels), levels)
        indices = jnp.arange(prod(levels))
        codes = np.asarray(lookup(quantizer, indices))
        digits = [(np.arange(level) - level // 2) / (level // 2) for level in levels]
        assert {tuple(np.float32(c)) for c in codes} == {
            tuple(np.float32(c)) for c in product(*digits)
        }
        # A vector that tanh takes to a code: there the code is what comes out.
        half = (np.asarray(levels) - 1) * (1 + 1e-3) / 2
        offset = np.where(np.asarray(levels) % 2 == 0, 0.5, 0.0)
        width = np.asarray(levels) // 2
        z = np.arctanh((codes * width + offset) / half) - np.arctanh(offset / half)
        np.testing.assert_array_equal(quantize(quantizer, jnp.asarray(z, jnp.float32))[1], indices)

    def test_the_gradient_is_that_of_the_bound_before_rounding(self):
        levels = (8, 5)
        quantizer, z = FSQ(2, levels), np.random.default_rng(0).normal(size=(20, 2))

        def bound(z):
            half = (np.asarray(levels) - 1) * (1 + 1e-3) / 2
            shift = np.arctanh(np.asarray([0.5, 0.0]) / half)
            return np.tanh(z + shift) * half / (np.asarray(levels) // 2)

        h = 1e-6
        expected = (bound(z + h) - bound(z - h)) / (2 * h)
        found = jax.grad(lambda x: quantizer.quantize(x)[0].sum())(jnp.asarray(z, jnp.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_levels_of_the_papers_table(self):
        # Table 1 of the paper, and its appendix for the sizes between.
        table = {2**8: (8, 6, 5), 2**10: (8, 5, 5, 5), 2**12: (7, 5, 5, 5, 5),
                 2**14: (8, 8, 8, 6, 5), 2**16: (8, 8, 8, 5, 5, 5)}  # fmt: skip
        assert {size: levels_for(size) for size in table} == table
        for bits, levels in LEVELS.items():
            assert 0.9 < prod(levels) / 2**bits < 1.2


def enumerated(z, scale, temperature):
    """H(p) of each vector and of the mean p, over all sign vectors, in float64."""
    z = np.asarray(z, np.float64)
    codes = scale * (2 * np.array(list(product([0, 1], repeat=z.shape[-1]))) - 1)
    logits = 2 * z @ codes.T / temperature
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)

    def entropy(q):
        return -(q * np.log(np.where(q > 0, q, 1))).sum(-1)

    return entropy(p), entropy(p.mean(0))


class TestBits:
    @pytest.mark.parametrize("bits", [1, 4, 7])
    @pytest.mark.parametrize("temperature", [0.01, 1.0])
    def test_entropies_are_those_of_all_codes(self, bits, temperature, quantize):
        z = vectors(3, 5, bits)
        quantizer = LFQ(bits, bits, temperature=temperature, diversity=0.7, scale=0.8)
        each, mean = enumerated(z.reshape(-1, bits), 0.8, temperature)
        _, _, terms = quantize(quantizer, z)
        expected = 5 * (each.mean() - 0.7 * mean)  # five codes an example
        assert float(terms["entropy_loss"]) == pytest.approx(expected, rel=2e-5, abs=1e-5)
        commitment = np.square(np.abs(np.asarray(z, np.float64)) - 0.8).sum() / 3
        assert float(terms["commitment_loss"]) == pytest.approx(commitment, rel=1e-5)
        total = 0.1 * expected + 0.25 * commitment
        assert float(terms["loss"]) == pytest.approx(total, rel=2e-5, abs=1e-5)

    def test_the_first_number_is_the_highest_bit(self, quantize, lookup):
        z = jnp.asarray([[1.0, -1.0, -1.0], [-2.0, 0.5, 0.1], [0.0, -1.0, 3.0]])
        z_q, indices, _ = quantize(LFQ(3, 3, scale=2.0), z)
        np.testing.assert_array_equal(indices, [4, 3, 1])  # zero counts as negative
        np.testing.assert_array_equal(z_q, [[2, -2, -2], [-2, 2, 2], [-2, -2, 2]])
        np.testing.assert_array_equal(lookup(LFQ(3, 3, scale=2.0), indices), z_q)

    def test_groups_are_codes_of_their_own(self, quantize):
        z = vectors(6, 6)
        _, indices, terms = quantize(LFQ(6, 2, groups=3, temperature=0.5), z)
        alone = [quantize(LFQ(2, 2, temperature=0.5), z[:, i : i + 2]) for i in (0, 2, 4)]
        np.testing.assert_array_equal(indices, np.stack([a[1] for a in alone], -1))
        for name in ("entropy_loss", "commitment_loss"):
            assert float(terms[name]) == pytest.approx(sum(float(a[2][name]) for a in alone))

    def test_many_bits_are_an_upper_bound_exact_for_independent_blocks(self):
        rng = np.random.default_rng(0)
        share = jnp.full(64, 1 / 64)
        # One distribution for all vectors: the mean is a product, whose entropy is a sum.
        one = np.tile(rng.random(20), (64, 1, 1))
        expected = -(one[0, 0] * np.log(one[0, 0]) + (1 - one[0, 0]) * np.log(1 - one[0, 0])).sum()
        found = float(codebook_entropy(jnp.asarray(one, jnp.float32), share))
        assert found == pytest.approx(expected, rel=1e-5)
        # 64 different codes of 20 sure bits: log 64 nats, and never less in blocks.
        bits = jnp.asarray(rng.integers(0, 2, (64, 1, 20)), jnp.float32)
        assert len(np.unique(bits, axis=0)) == 64
        assert float(codebook_entropy(bits, share)) >= log(64)

    def test_memory_grows_with_the_root_of_the_codes(self):
        """Of 1,000 vectors and 2^12 codes no array is larger than 1,000 * 2^6."""
        quantizer = LFQ(12, 12)
        step = jax.grad(lambda x: quantizer.quantize(x)[2]["entropy_loss"])
        shapes = [
            v.aval.size
            for e in jax.make_jaxpr(step)(jnp.zeros((1000, 12))).jaxpr.eqns
            for v in e.outvars
        ]
        assert max(shapes) <= 1000 * 64 * 2

    def test_the_sphere(self, quantize):
        z = 5 * vectors(3, 5, 4)
        unit = np.asarray(z, np.float64)
        unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
        z_q, indices, terms = quantize(BSQ(4, 4, temperature=0.5), z)
        np.testing.assert_allclose(z_q, np.where(unit > 0, 0.5, -0.5))
        np.testing.assert_array_equal(indices, ((unit > 0) @ [8, 4, 2, 1]).astype(int))
        commitment = np.square(np.abs(unit) - 0.5).sum() / 3
        assert float(terms["commitment_loss"]) == pytest.approx(commitment, rel=1e-5)
        each, mean = enumerated(unit.reshape(-1, 4), 0.5, 0.5)
        assert float(terms["entropy_loss"]) == pytest.approx(5 * (each.mean() - mean), rel=1e-4)
