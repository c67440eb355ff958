"""Every family against vector-quantize-pytorch 1.32.0 on equal codebooks and inputs.

`peer_values.py` beside this file records what the peer gives. Two conventions differ throughout and
are converted here, never bent: the peer's losses are means over all numbers, ours are sums over an
example's codes and features and means over the batch; and the peer's temperatures multiply logits,
where ours divide them.
"""

import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special

from workshop.generative_models.core.quantizers import (
    BSQ,
    FSQ,
    LFQ,
    ResidualQuantizer,
    SimVQ,
    VectorQuantizer,
    rotate_to,
)

PEER = json.loads(Path(__file__).with_name("peer_values.json").read_text())
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def case(name, number=None):
    """Return a recorded case, its floats as float32 and its integers as int32."""
    found = PEER[name] if number is None else PEER[name][number]
    return {key: value if isinstance(value, bool) else array(value) for key, value in found.items()}


def array(values):
    found = np.asarray(values)
    return found.astype({"f": np.float32, "i": np.int32}.get(found.dtype.kind, found.dtype))


def with_codes(quantizer, codes):
    quantizer.embeddings.embedding[...] = codes.reshape(quantizer.embeddings.embedding.shape)
    if quantizer.keeps:
        quantizer.average[...] = codes.reshape(quantizer.average.shape)
    return quantizer


def make(codes, **options):
    """Return our quantizer of three-axis codes (codebooks, K, size) or those of one codebook."""
    options = {"commitment_cost": 1.0, **options}
    dim = codes.shape[-1] * options.get("heads", 1)
    return with_codes(VectorQuantizer(dim, codes.shape[-2], rngs=nnx.Rngs(0), **options), codes)


class Observed(NamedTuple):
    z_q: jax.Array
    indices: jax.Array
    terms: dict
    to_parameters: nnx.State
    to_x: jax.Array
    pulled: jax.Array


def observe(quantizer, peer, loss=lambda terms: terms["loss"], **options):
    """Quantize; also the gradients of a loss, and the peer's cotangent of z_q pulled back to x."""
    graph, parameters, rest = nnx.split(quantizer, nnx.Param, ...)

    def of(parameters, x):
        outputs = nnx.merge(graph, parameters, rest).quantize(x, **options)
        return loss(outputs[2]), outputs

    @jax.jit  # once for everything: compilation is what takes time here
    def run(parameters, x, cotangent):
        gradients, outputs = jax.grad(of, (0, 1), has_aux=True)(parameters, x)
        pulled = jax.grad(lambda x: jnp.sum(of(parameters, x)[1][0] * cotangent))(x)
        return Observed(*outputs, *gradients, pulled)

    return run(parameters, peer["x"], peer.get("cotangent", np.float32(0.0)))


def updates(quantizer, batches, **options):
    """Return indices, sizes, averages and codes after each update."""
    graph, state = nnx.split(quantizer)

    @jax.jit
    def run(state):
        ours, found = nnx.merge(graph, state), []
        for x in batches:
            _, indices, terms = ours.quantize(x, **options)
            ours.update(terms["statistics"])
            found.append((indices, ours.cluster_size[...], ours.average[...], ours.codebook()))
        return found

    return run(state)


def compare_updates(found, state):
    indices, size, average, codes = found
    np.testing.assert_array_equal(indices, state["indices"])
    np.testing.assert_allclose(size, state["size"], **CLOSE)
    np.testing.assert_allclose(average, state["average"], **CLOSE)
    np.testing.assert_allclose(codes, state["updated"], **CLOSE)


def summed(peer, mean):
    """Turn a mean over batch, positions and features into our sum over the last two."""
    return mean * np.prod(peer["x"].shape[1:])


def test_a_codebook_trained_by_the_loss():
    peer = case("by_loss")
    quantizer = make(peer["codebook"])
    ours = observe(quantizer, peer)
    np.testing.assert_array_equal(ours.indices, peer["indices"])
    np.testing.assert_allclose(ours.z_q, peer["quantized"], **CLOSE)
    np.testing.assert_array_equal(quantizer.lookup(ours.indices), ours.z_q)
    # The peer's one squared error, detached on neither side, is the sum of our two at cost 1.
    for name in ("commitment_loss", "codebook_loss"):
        np.testing.assert_allclose(ours.terms[name], summed(peer, peer["loss"]), **CLOSE)
    np.testing.assert_allclose(ours.to_x, summed(peer, peer["loss_to_x"]), **CLOSE)
    to_codes = ours.to_parameters["embeddings"]["embedding"][...]
    np.testing.assert_allclose(to_codes, summed(peer, peer["loss_to_codebook"]), **CLOSE)
    np.testing.assert_allclose(ours.pulled, peer["quantized_to_x"], **CLOSE)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_five_updates_of_the_moving_average(distance):
    peer = PEER[f"{distance}_average"]
    options = {"distance": distance, "learning": "ema", "decay": 0.8, "epsilon": 1e-5}
    found = updates(make(array(peer["codebook"]), **options), array(PEER["batches"]))
    for ours, state in zip(found, peer["states"], strict=True):
        compare_updates(ours, state)


def test_cosine_distance():
    peer = case("cosine")
    # The peer takes the loss between unit vectors, as we do; its codes are not trained by it.
    ours = observe(make(peer["codebook"], distance="cosine", learning="frozen"), peer)
    np.testing.assert_array_equal(ours.indices, peer["indices"])
    np.testing.assert_allclose(ours.z_q, peer["quantized"], **CLOSE)
    np.testing.assert_allclose(ours.terms["loss"], summed(peer, peer["loss"]), **CLOSE)
    np.testing.assert_allclose(ours.to_x, summed(peer, peer["loss_to_x"]), **CLOSE)
    np.testing.assert_allclose(ours.pulled, peer["quantized_to_x"], **CLOSE)


@pytest.mark.parametrize("name", ["residual", "residual_shared"])
def test_three_residual_stages(name):
    peer = case(name)
    stages = [make(codes) for codes in peer["codebooks"]]
    quantizer = ResidualQuantizer(stages if len(stages) == 3 else stages * 3)
    ours = observe(quantizer, peer)
    np.testing.assert_array_equal(ours.indices, peer["indices"])
    np.testing.assert_allclose(ours.z_q, peer["quantized"], **CLOSE)
    total = summed(peer, peer["losses"].sum())
    np.testing.assert_allclose(ours.terms["commitment_loss"], total, **CLOSE)
    np.testing.assert_allclose(ours.terms["codebook_loss"], total, **CLOSE)
    np.testing.assert_allclose(ours.to_x, summed(peer, peer["loss_to_x"]), **CLOSE)
    np.testing.assert_allclose(quantizer.lookup(ours.indices), peer["decoded"], **CLOSE)
    first_two = quantizer.lookup(ours.indices[..., :2])
    np.testing.assert_allclose(first_two, peer["decoded_first_two"], **CLOSE)
    # The peer adds up a straight-through output for each stage, every one with the identity as its
    # gradient, so that three stages give the encoder three times the decoder's gradient. z_q is one
    # estimate of z_e, and its straight-through gradient is that of one identity: ours is a third.
    np.testing.assert_allclose(3 * ours.pulled, peer["quantized_to_x"], **CLOSE)
    np.testing.assert_allclose(ours.pulled, peer["cotangent"], **CLOSE)


@pytest.mark.sampled
@pytest.mark.parametrize("number", range(len(PEER["fsq"])), ids=lambda i: PEER["fsq"][i]["levels"])
def test_finite_scalars_of_the_papers_levels(number):
    peer = case("fsq", number)
    quantizer = FSQ(len(peer["levels"]), peer["levels"].tolist())
    ours = observe(quantizer, peer)
    np.testing.assert_array_equal(ours.indices, peer["indices"])
    np.testing.assert_allclose(ours.z_q, peer["codes"], **CLOSE)
    np.testing.assert_allclose(ours.pulled, peer["z_gradient"], **CLOSE)
    np.testing.assert_allclose(quantizer.lookup(peer["asked"]), peer["asked_codes"], **CLOSE)


@pytest.mark.sampled
@pytest.mark.parametrize("number", range(len(PEER["lfq"])))
def test_lookup_free_codes_and_their_entropies(number):
    peer = case("lfq", number)
    bits, positions = int(peer["bits"]), peer["x"].shape[1]
    gamma, temperature = float(peer["gamma"]), 1 / float(peer["inverse_temperature"])
    quantizer = (BSQ if peer["spherical"] else LFQ)(
        bits, bits, diversity=gamma, temperature=temperature
    )

    def their_loss(terms):
        entropy, commitment = terms["entropy_loss"], terms["commitment_loss"]
        return 0.1 * entropy / positions + 0.25 * commitment / (positions * bits)

    ours = observe(quantizer, peer, their_loss)
    np.testing.assert_array_equal(ours.indices, peer["indices"])
    np.testing.assert_allclose(ours.z_q, peer["quantized"], **CLOSE)
    commitment = summed(peer, peer["commitment"])
    np.testing.assert_allclose(ours.terms["commitment_loss"], commitment, **CLOSE)
    entropy = ours.terms["entropy_loss"] / positions
    # The peer's -Σ p log max(p, 1e-5) misses up to 1e-5 / e a code of the entropy: where that shows
    # ("log_is_clamped"), ours is held to the same formula without the bound, in float64.
    exact = peer["exact_per_sample_entropy"] - gamma * peer["exact_batch_entropy"]
    np.testing.assert_allclose(entropy, exact, **CLOSE)
    theirs = peer["per_sample_entropy"] - gamma * peer["batch_entropy"]
    missed = (1 + gamma) * 2**bits * 1e-5 / np.e if peer["log_is_clamped"] else 0.0
    np.testing.assert_allclose(entropy, theirs, rtol=1e-5, atol=1e-5 + missed)
    if not peer["log_is_clamped"]:  # the bound changes the gradient, too, and by more
        np.testing.assert_allclose(ours.to_x, peer["loss_to_x"], **CLOSE)


def test_enough_lookup_free_cases_are_comparable_throughout():
    clamped = [(case["spherical"], case["log_is_clamped"]) for case in PEER["lfq"]]
    assert clamped.count((False, False)) == 5
    assert clamped.count((True, False)) >= 2


def test_the_rotation_and_its_gradient():
    peer = case("rotation")
    out, pull = jax.vjp(rotate_to, jnp.asarray(peer["e"]), jnp.asarray(peer["q"]))
    np.testing.assert_allclose(out, peer["out"], **CLOSE)
    to_e, to_q = pull(peer["cotangent"])
    # The gradient is a rotation of the cotangent by ‖q‖/‖e‖, from 1e-3 to 1e3 here: compared
    # without that factor.
    ratio = np.linalg.norm(peer["q"], axis=1) / np.linalg.norm(peer["e"], axis=1)
    expected = peer["e_gradient"] / ratio[:, None]
    np.testing.assert_allclose(to_e / ratio[:, None], expected, **CLOSE)
    np.testing.assert_array_equal(to_q, 0)


@pytest.mark.parametrize("number", [0, 1], ids=["straight_through", "rotation"])
def test_frozen_codes_through_a_linear_map(number):
    peer = case("simvq", number)
    gradient = "rotation" if peer["rotation"] else "straight_through"
    quantizer = SimVQ(6, 10, rngs=nnx.Rngs(0), commitment_cost=0.25, gradient=gradient)
    quantizer.embeddings.embedding[...] = peer["frozen"]
    quantizer.map.kernel[...] = peer["weight"].T  # torch has (out, in)
    ours = observe(quantizer, peer)
    np.testing.assert_array_equal(ours.indices, peer["indices"])
    np.testing.assert_allclose(ours.z_q, peer["quantized"], **CLOSE)
    np.testing.assert_allclose(ours.terms["loss"], summed(peer, peer["loss"]), **CLOSE)
    np.testing.assert_allclose(ours.to_x, summed(peer, peer["loss_to_x"]), **CLOSE)
    assert list(ours.to_parameters) == ["map"]  # the codes themselves are not trained
    to_map = ours.to_parameters["map"]["kernel"][...]
    np.testing.assert_allclose(to_map, summed(peer, peer["loss_to_weight"]).T, **CLOSE)
    np.testing.assert_allclose(ours.pulled, peer["quantized_to_x"], **CLOSE)


def test_the_penalty_on_codes_that_are_not_orthogonal():
    peer = case("orthogonal")
    quantizer = make(peer["codebook"], orthogonal_cost=1.0)
    ours = observe(quantizer, peer, lambda terms: terms["orthogonal_loss"])
    # A property of the codebook alone: equal without any conversion.
    np.testing.assert_allclose(ours.terms["orthogonal_loss"], peer["loss"], **CLOSE)
    to_codes = ours.to_parameters["embeddings"]["embedding"][...]
    np.testing.assert_allclose(to_codes, peer["codebook_gradient"], **CLOSE)


@pytest.mark.sampled
@pytest.mark.parametrize("number", range(len(PEER["diversity"])))
def test_the_penalty_on_uneven_use(number):
    peer = case("diversity", number)
    temperature = 1 / float(peer["temperature"])
    distance = "cosine" if peer["cosine"] else "euclidean"
    options = {"distance": distance, "diversity_cost": 1.0, "diversity_temperature": temperature}
    ours = observe(make(peer["codebook"], **options), peer, lambda terms: terms["diversity_loss"])
    value = ours.terms["diversity_loss"]
    # The peer has one entropy a position, of p averaged over the batch; ours is one of all vectors,
    # as a codebook is for all positions. The recorded case has one position, where they are equal.
    if peer["cosine"]:
        # -½‖z - e‖² = z·e - 1 of unit vectors: our logits are the peer's up to a constant.
        np.testing.assert_allclose(value, peer["loss"], **CLOSE)
        np.testing.assert_allclose(ours.to_x, peer["x_gradient"], **CLOSE)
        return
    # The peer's euclidean logits are distances, -‖z - e‖; ours, here as in the stochastic choice,
    # are log densities of a Gaussian around each code, -½‖z - e‖². One formula gives both values.
    x = peer["x"].reshape(-1, 6).astype(np.float64)
    squared = np.square(x[:, None] - peer["codebook"]).sum(-1)
    for logits, found in ((-np.sqrt(squared), peer["loss"]), (-squared / 2, value)):
        mean = special.softmax(logits / temperature, axis=-1).mean(0)
        np.testing.assert_allclose(found, -special.entr(mean).sum(), **CLOSE)


def test_padding_has_no_part_in_anything():
    peer = case("masked")
    mask, batch = peer["mask"], len(peer["x"])
    ours = observe(make(peer["codebook"]), peer, mask=mask)
    np.testing.assert_array_equal(ours.indices, peer["indices"])
    np.testing.assert_allclose(ours.z_q, peer["quantized"], **CLOSE)
    # The peer's mean is over the numbers that are no padding.
    expected = peer["loss"] * mask.sum() * peer["x"].shape[-1] / batch
    np.testing.assert_allclose(ours.terms["commitment_loss"], expected, **CLOSE)
    averaged = make(peer["codebook"], learning="ema", decay=0.8)
    compare_updates(updates(averaged, peer["x"][None], mask=mask)[0], peer)


@pytest.mark.sampled
@pytest.mark.parametrize("number", [0, 1], ids=["shared", "separate"])
def test_two_heads(number):
    peer = case("heads", number)
    options = {"heads": 2, "shared": not peer["separate"]}
    quantizer = make(peer["codebook"], **options)
    ours = observe(quantizer, peer)
    np.testing.assert_array_equal(ours.indices, peer["indices"])
    np.testing.assert_allclose(ours.z_q, peer["quantized"], **CLOSE)
    np.testing.assert_allclose(quantizer.lookup(ours.indices), peer["quantized"], **CLOSE)
    np.testing.assert_allclose(ours.terms["commitment_loss"], summed(peer, peer["loss"]), **CLOSE)
    averaged = make(peer["codebook"], **options, learning="ema", decay=0.8)
    compare_updates(updates(averaged, peer["x"][None])[0], peer)
