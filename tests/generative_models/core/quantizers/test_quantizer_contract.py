"""What holds for every quantizer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.quantizers import (
    BSQ,
    FSQ,
    LFQ,
    Quantizer,
    ResidualQuantizer,
    SimVQ,
    VectorQuantizer,
    code_counts,
    levels_for,
    nearest_code,
)

DIM = 4


def vq(seed=0, size=DIM, **options):
    quantizer = VectorQuantizer(size, 7, rngs=nnx.Rngs(seed), **options)
    spread_codes(quantizer, seed)
    return quantizer


def spread_codes(quantizer, seed=0):
    """Put the codes as far apart as the vectors are: the initial ones all lie near 0."""
    shape = quantizer.embeddings.embedding.shape
    codes = np.random.default_rng(seed).normal(size=shape)
    if quantizer.unit:
        codes /= np.linalg.norm(codes, axis=-1, keepdims=True)
    quantizer.embeddings.embedding[...] = jnp.asarray(codes, jnp.float32)
    if quantizer.keeps:
        quantizer.average[...] = jnp.asarray(codes.reshape(quantizer.average.shape), jnp.float32)


QUANTIZERS = {
    "vq": vq,
    "vq, averaged": lambda: vq(learning="ema", revive_below=0.1, gradient="rotation"),
    "vq, cosine": lambda: vq(distance="cosine", learning="ema"),
    "vq, heads": lambda: vq(heads=2),
    "vq, codebooks": lambda: vq(heads=2, shared=False, learning="ema"),
    "vq, penalties": lambda: vq(orthogonal_cost=0.3, diversity_cost=0.2, entropy_cost=0.1),
    "fsq": lambda: FSQ(4, (3, 4, 5, 3)),
    "lfq, groups": lambda: LFQ(4, 2, groups=2),
    "bsq": lambda: BSQ(4, 4),
    "simvq": lambda: SimVQ(4, 7, rngs=nnx.Rngs(0)),
    "residual, shared": lambda: ResidualQuantizer([vq(learning="ema")] * 3),
    "residual, fsq": lambda: ResidualQuantizer([FSQ(4, (5,) * 4) for _ in range(2)], ratio=4.0),
    "residual, projected": lambda: ResidualQuantizer([vq(0, 2)] * 2, dim=4, rngs=nnx.Rngs(0)),
}


@pytest.fixture(params=QUANTIZERS)
def quantizer(request) -> Quantizer:
    return QUANTIZERS[request.param]()


@pytest.fixture
def z_e():
    return jnp.asarray(np.random.default_rng(5).normal(size=(3, 2, 5, DIM)), jnp.float32)


def places(quantizer, *shape):
    return shape if quantizer.codes == 1 else (*shape, quantizer.codes)


@pytest.mark.sampled
def test_codes_come_back_from_their_indices(quantizer, z_e, quantize, lookup):
    z_q, indices, _ = quantize(quantizer, z_e)
    assert indices.dtype == jnp.int32
    assert indices.shape == places(quantizer, 3, 2, 5)
    assert int(indices.min()) >= 0
    assert int(indices.max()) < quantizer.codebook_size
    assert len(np.unique(indices)) > 2
    # Two orders of the same sums, where a projection or several stages have any.
    np.testing.assert_allclose(lookup(quantizer, indices), z_q, rtol=1e-6, atol=1e-6)


@pytest.mark.sampled
def test_a_vector_alone_is_a_batch_of_one(quantizer, z_e, quantize, lookup):
    z_q, indices, terms = quantize(quantizer, z_e[0, 0, 0])
    batch = quantize(quantizer, z_e[:1, 0, 0])
    assert z_q.shape == (DIM,)
    assert indices.shape == places(quantizer)
    np.testing.assert_allclose(z_q, batch[0][0], rtol=1e-6)
    assert float(terms["loss"]) == pytest.approx(float(batch[2]["loss"]), rel=1e-6)
    np.testing.assert_allclose(lookup(quantizer, indices), z_q, rtol=1e-6, atol=1e-6)


@pytest.mark.sampled
def test_the_loss_is_the_weighted_sum_of_its_terms(quantizer, z_e, quantize):
    _, _, terms = quantize(quantizer, z_e)
    total = sum(cost * float(terms[name]) for name, cost in quantizer.costs)
    assert float(terms["loss"]) == pytest.approx(total, rel=1e-5, abs=1e-6)


@pytest.mark.sampled
def test_losses_are_of_an_example_whatever_the_batch(quantizer, z_e, quantize):
    """The mean over a batch of the same example twice is that example's."""
    one, two = (quantize(quantizer, x)[2] for x in (z_e[:1], jnp.concatenate([z_e[:1]] * 2)))
    for name in dict(quantizer.costs):
        assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-5, abs=1e-6)


@pytest.mark.sampled
def test_mapped_it_is_the_same(quantizer, z_e, quantize):
    graph, state = nnx.split(quantizer)

    def run(x):
        return nnx.merge(graph, state).quantize(x)[:2]

    z_q, indices, _ = quantize(quantizer, z_e)
    mapped = jax.jit(jax.vmap(run))(z_e)
    np.testing.assert_array_equal(mapped[1], indices)
    np.testing.assert_allclose(mapped[0], z_q, rtol=1e-5, atol=1e-6)


@pytest.mark.sampled
def test_padding_is_not_there(quantizer, z_e, quantize, lookup):
    """Codes, losses, perplexity and statistics are those of the rest alone."""
    mask = np.zeros((3, 10), bool)
    mask[:, [0, 3, 4, 9]] = True
    flat = z_e.reshape(3, 10, DIM)
    huge = jnp.where(mask[..., None], flat, jnp.nan)
    z_q, indices, terms = quantize(quantizer, huge, mask=mask)
    expected = quantize(quantizer, flat[:, [0, 3, 4, 9]])
    np.testing.assert_array_equal(z_q[~mask], 0.0)
    np.testing.assert_array_equal(indices[~mask], -1)
    np.testing.assert_array_equal(indices[mask].reshape(expected[1].shape), expected[1])
    np.testing.assert_allclose(
        z_q[mask].reshape(expected[0].shape), expected[0], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(lookup(quantizer, indices)[~mask], 0.0)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), terms, expected[2]
    )


@pytest.mark.sampled
def test_finite_vectors_give_finite_numbers(quantizer):
    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def gradients(x):
        z_q, _, terms = quantizer.quantize(x)
        return z_q.sum() + terms["loss"], terms

    for value in (0.0, 1e-30, 1e4, -1e4):
        gradient, terms = gradients(jnp.full((2, 3, DIM), value))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, terms)))


def test_without_a_key_nothing_is_drawn(quantizer, z_e, quantize):
    once, again = quantize(quantizer, z_e), quantize(quantizer, z_e)
    jax.tree.map(np.testing.assert_array_equal, once, again)


def test_it_can_be_split_and_compared(quantizer):
    """A static argument of jit, in which equal quantizers share a program."""
    graph = nnx.graphdef(quantizer)
    assert hash(graph) == hash(nnx.graphdef(nnx.clone(quantizer)))


def test_errors(quantizer, z_e):
    with pytest.raises(ValueError, match=r"z_e has shape \(3, 2, 5, 3\): expected .* 4\)"):
        quantizer.quantize(z_e[..., :3])
    with pytest.raises(ValueError, match=r"mask has shape \(3,\): expected \(3, 2, 5\)"):
        quantizer.quantize(z_e, mask=np.ones(3, bool))
    with pytest.raises(ValueError, match="indices are float32: expected integers"):
        quantizer.lookup(jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="z_e is of type complex64: expected real numbers"):
        quantizer.quantize(z_e * 1j)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="z_e holds NaN or infinite values"):
            quantizer.quantize(np.full(4, bad, np.float32))
    for bad in (0.5, -1, np.nan, -1e9):  # -1e9 is what is added to hide logits of attention
        with pytest.raises(ValueError, match="mask holds other values than True and False"):
            quantizer.quantize(z_e, mask=np.full((3, 2, 5), bad, np.float32))
    if quantizer.codes > 1:
        with pytest.raises(ValueError, match=r"indices have 9 (codes|stages)"):
            quantizer.lookup(jnp.zeros((2, 9), jnp.int32))


@pytest.mark.parametrize("beyond", ["size", "below"])
def test_an_index_without_a_code_is_refused(quantizer, beyond):
    size = quantizer.codebook_size
    wrong = {"size": size, "below": -2}[beyond]
    rows = np.zeros((2, 3, quantizer.codes), np.int64)
    rows[0, 1] = size - 1
    rows[1, 2, -1] = wrong
    indices = rows[..., 0] if quantizer.codes == 1 else rows
    low, high = min(wrong, 0), max(wrong, size - 1)
    message = rf"indices lie in \[{low}, {high}\]: expected 0 <= index < {size} .*or -1"
    with pytest.raises(ValueError, match=message):
        quantizer.lookup(indices)
    with pytest.raises(ValueError, match=message):
        quantizer.lookup(indices.tolist())
    rows[1, 2, -1] = 2**32 + 1  # which would wrap to 1
    with pytest.raises(ValueError, match=r"indices holds integers .* int32 cannot hold"):
        quantizer.lookup(indices)


@pytest.mark.sampled
def test_no_code_is_zeros_and_stands_for_a_whole_vector(quantizer, lookup):
    """-1 in all indices of a vector; in some only of stages that follow the last one given."""
    none = np.full((2, quantizer.codes), -1)
    none = none[..., 0] if quantizer.codes == 1 else none
    np.testing.assert_array_equal(quantizer.lookup(none), 0.0)
    if quantizer.codes == 1:
        return
    rest = [-1] * (quantizer.codes - 1)
    with pytest.raises(ValueError, match=r"indices hold -1, no code, be(side|fore)"):
        quantizer.lookup([[*rest, 1]])
    if isinstance(quantizer, ResidualQuantizer):
        first = lookup(quantizer, jnp.asarray([[1]]))
        np.testing.assert_array_equal(quantizer.lookup([[1, *rest]]), first)
    else:
        with pytest.raises(ValueError, match="needs all 2 codes of a vector, or none"):
            quantizer.lookup([[1, *rest]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vq(heads=3), "heads=3 must divide dim=4"),
        (lambda: vq(learning="sgd"), "learning='sgd': expected one of ema, frozen, loss"),
        (lambda: vq(distance="cosin"), "did you mean 'cosine'"),
        (lambda: vq(gradient="reinforce"), "gradient='reinforce'"),
        (lambda: vq(learning="frozen", kmeans=True), "learning='frozen' keeps the codes"),
        (lambda: vq(decay=1.0), "decay=1.0: expected 0 <= decay < 1"),
        (lambda: vq(diversity_temperature=0.0), "diversity_temperature=0.0: expected > 0"),
        (lambda: vq(revive_below=-1.0), "revive_below=-1.0"),
        (lambda: FSQ(4, (8, 5)), r"FSQ\(dim=4\) has codes of 2 numbers.*pass rngs"),
        (lambda: FSQ(2, (8, 2)), r"levels=\(8, 2\): .* 3 or more; for two levels take LFQ"),
        (lambda: FSQ(8, (16,) * 8), "4,294,967,296 codes: too many"),
        (lambda: LFQ(30, 30), "bits=30: expected at most 20 bits an index.*groups=2"),
        (lambda: LFQ(4, 4, temperature=0.0), "temperature=0.0: expected > 0"),
        (lambda: vq(diversity_temperature=np.nan), "diversity_temperature=nan: expected > 0"),
        (lambda: LFQ(4, 4, scale=np.nan), "scale=nan: expected > 0"),
        (lambda: LFQ(4, 4, temperature=np.inf), "temperature=inf: expected > 0"),
        (lambda: ResidualQuantizer([vq()], ratio=np.nan), "ratio=nan: expected > 0"),
        (lambda: levels_for(0), "codebook_size=0: expected a positive integer"),
        (lambda: code_counts(jnp.array([[9]]), 4), "indices go up to 9: expected index < 4"),
        (
            lambda: nearest_code(jnp.eye(2), jnp.eye(2), temperature=-1.0, key=jax.random.key(0)),
            "temperature=-1.0: expected a finite number >= 0",
        ),
        (lambda: ResidualQuantizer([]), "stages is empty"),
        (lambda: ResidualQuantizer([vq(), LFQ(4, 4)]), r"stages\[1\] has .* 16 codes"),
        (lambda: ResidualQuantizer([vq(heads=2)]), r"stages\[0\] projects .* several codes"),
        (lambda: ResidualQuantizer([vq()], ratio=0.0), "ratio=0.0"),
        (
            lambda: ResidualQuantizer([vq(), vq(commitment_cost=1.0)]),
            r"stages\[1\] and stages\[0\] weigh losses otherwise",
        ),
    ],
)
def test_arguments_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()
