"""The prior over codes against enumeration, a float64 transformer, and sources of known entropy."""

from functools import cache
from itertools import product
from math import log, prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import special, stats

from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.core.optimizers import create_optimizer
from workshop.generative_models.models.vae import code_sampling
from workshop.generative_models.models.vae.prior import UNLABELLED, CodePrior
from workshop.generative_models.training import Trainer

SMALL = PriorConfig(layers=1, width=8, heads=2, dropout=0.0)
TWO_LAYERS = PriorConfig(layers=2, width=8, heads=2, dropout=0.0)


def make(code_shape, values, *, config=SMALL, classes=None, codes=1, seed=0):
    """A prior whose weights are far from their small beginnings, so that every part matters.

    They are drawn by NumPy, which has nothing to compile.
    """
    graph, state = nnx.split(
        nnx.eval_shape(
            lambda: CodePrior(config, code_shape, values, classes, codes, rngs=nnx.Rngs(0))
        )
    )
    rng = np.random.default_rng(seed)

    def filled(path, leaf):
        if "scale" in jax.tree_util.keystr(path):  # of a normalisation
            return jnp.ones(leaf.shape)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(seed)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.zeros(leaf.shape, leaf.dtype)
        return jnp.asarray(0.6 * rng.normal(size=leaf.shape), leaf.dtype)

    prior = nnx.merge(graph, jax.tree_util.tree_map_with_path(filled, state))
    prior.eval()
    return prior


@nnx.jit
def logits_of(prior, codes, y=None):
    return prior(codes, y)["logits"]


@nnx.jit
def losses_of(prior, batch, key=None):
    return prior.loss_fn(batch=batch, rng=key)


def sequences(prior):
    """All arrays of codes that there are, (values ** length, *code_shape)."""
    every = list(product(range(prior.codebook_size), repeat=prod(prior.code_shape)))
    return np.array(every, np.int32).reshape(-1, *prior.code_shape)


STAGED = {"code_shape": (2, 1, 2), "values": 2, "classes": 3, "codes": 2}
KINDS = {
    "plain": ({"code_shape": (2,), "values": 3}, None),
    "map": ({"code_shape": (2, 2), "values": 3}, None),
    "classes": ({"code_shape": (2,), "values": 3, "classes": 2}, 1),
    "no class": ({"code_shape": (2,), "values": 3, "classes": 2}, None),
    "stages": (STAGED, 2),
    "one value": ({"code_shape": (3,), "values": 1}, None),
    "one place": ({"code_shape": (1,), "values": 5, "classes": 2}, 1),
}


# Probabilities.


@pytest.mark.sampled
@pytest.mark.parametrize("kind", KINDS)
def test_the_probabilities_of_all_sequences_sum_to_one(kind):
    arguments, y = KINDS[kind]
    prior = make(**arguments)
    probabilities = np.exp(np.asarray(prior.log_prob(sequences(prior), y), np.float64))
    # At most 81 terms, each off by a few of float32's 6e-8.
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    if len(probabilities) > 1:
        assert probabilities.max() > 1.5 / len(probabilities)  # and they are not all the same


def numpy_log_prob(prior, codes, label):
    """log p of one example's codes in a row, by loops over places and heads, in float64."""
    flat = nnx.to_flat_state(nnx.state(prior, nnx.Param))
    p = {".".join(map(str, path)): np.asarray(v[...], np.float64) for path, v in flat}

    def norm(x, name):  # Flax's ε is 1e-6
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
        return x * p[f"{name}.scale"] + p[f"{name}.bias"]

    def attend(seen, name):
        q = np.einsum("w,whd->hd", seen[-1], p[f"{name}.query.kernel"]) + p[f"{name}.query.bias"]
        mixed = []
        for head in range(len(q)):
            keys = [v @ p[f"{name}.key.kernel"][:, head] + p[f"{name}.key.bias"][head]
                    for v in seen]  # fmt: skip
            values = [v @ p[f"{name}.value.kernel"][:, head] + p[f"{name}.value.bias"][head]
                      for v in seen]  # fmt: skip
            weights = special.softmax(np.array(keys) @ q[head] / np.sqrt(q.shape[1]))
            mixed.append(weights @ np.array(values))
        kernel = p[f"{name}.out.kernel"]
        return np.einsum("hd,hdw->w", np.array(mixed), kernel) + p[f"{name}.out.bias"]

    def gelu(x):  # Hendrycks & Gimpel 2016, the form with tanh
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    size = prior.codebook_size
    tokens = p["tokens.embedding"].reshape(prior.codes, size, -1)
    xs = [0.0, *(tokens[i % prior.codes][code] for i, code in enumerate(codes[:-1]))]
    class_ = p["classes.embedding"][label]
    xs = [x + class_ + p["positions.embedding"][i] for i, x in enumerate(xs)]
    for b in range(len(prior.blocks)):
        name, after = f"blocks.{b}", []
        for i, x in enumerate(xs):
            x = x + attend([norm(v, f"{name}.norm1") for v in xs[: i + 1]], f"{name}.attention")
            hidden = norm(x, f"{name}.norm2") @ p[f"{name}.up.kernel"] + p[f"{name}.up.bias"]
            after.append(x + gelu(hidden) @ p[f"{name}.down.kernel"] + p[f"{name}.down.bias"])
        xs = after
    total = 0.0
    for i, x in enumerate(xs):
        stage = i % prior.codes
        total += special.log_softmax(norm(x, "norm") @ p["readout.kernel"][stage])[codes[i]]
    return total


def test_log_prob_is_a_transformers_in_float64():
    prior = make((2, 2, 2), 4, config=TWO_LAYERS, classes=3, codes=2)
    codes = np.random.default_rng(1).integers(0, 4, (5, 2, 2, 2))
    for y in (None, 1):
        label = prior.num_classes if y is None else y
        expected = [numpy_log_prob(prior, row.reshape(-1), label) for row in codes]
        # Two blocks in float32: 1e-6 relative for each of some tens of sums.
        np.testing.assert_allclose(prior.log_prob(codes, y), expected, rtol=2e-5)
    mixed = prior.log_prob(codes, np.array([0, 1, 2, 0, 1]))
    each = [prior.log_prob(codes[i : i + 1], i % 3)[0] for i in range(5)]
    np.testing.assert_allclose(mixed, each, rtol=1e-5)


def test_no_conditional_depends_on_its_own_code_or_a_later_one():
    prior = make((3, 2), 4, config=TWO_LAYERS, codes=2)
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (1, 3, 2))
    changed = np.repeat(codes.reshape(1, 6), 6, 0)
    changed[np.arange(6), np.arange(6)] = (changed[0] + 1) % 4
    logits = np.asarray(logits_of(prior, np.concatenate([codes, changed.reshape(6, 3, 2)])))
    logits = logits.reshape(7, 6, 4)
    for i in range(6):
        difference = np.abs(logits[i + 1] - logits[0]).max(-1)
        # Masked places have weight exactly 0; rows of a batch may round apart.
        assert difference[: i + 1].max() < 1e-5
        assert (difference[i + 1 :] > 1e-3).all()


# Samples.


def enumerated(prior, temperature, y, guidance=1.0):
    """The probability of every sequence, each conditional tempered, from full passes."""
    every = sequences(prior)
    told, untold = (
        special.log_softmax(np.asarray(logits_of(prior, every, label), np.float64), axis=-1)
        for label in (y, None)
    )
    logits = guidance * told + (1 - guidance) * untold
    chosen = np.take_along_axis(
        special.log_softmax(logits / temperature, axis=-1), every[..., None], -1
    )
    return np.exp(chosen.reshape(len(every), -1).sum(-1))


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("kind", "temperature", "guidance"),
    [
        ("map", 1.0, 1.0),
        ("map", 2.0, 1.0),
        ("stages", 0.5, 1.0),
        ("no class", 1.0, 1.0),
        ("classes", 1.0, 2.5),
        ("stages", 1.5, 0.5),
        ("classes", 1.0, 0.0),
        ("one place", 1.0, 1.0),
    ],
)
def test_samples_occur_as_often_as_their_probability_says(kind, temperature, guidance):
    """χ² of 20,000 samples: by chance over the bound for one seed in ten thousand."""
    arguments, y = KINDS[kind]
    prior = make(**arguments)
    n = 20_000
    codes = prior.sample(n, temperature=temperature, y=y, guidance=guidance, rngs=nnx.Rngs(7))
    assert codes.dtype == jnp.int32
    assert codes.shape == (n, *prior.code_shape)
    rank = (
        np.asarray(codes).reshape(n, -1)
        @ prior.codebook_size ** np.arange(prod(prior.code_shape))[::-1]
    )
    observed = np.bincount(rank, minlength=len(sequences(prior)))
    expected = n * enumerated(prior, temperature, y, guidance)
    rare = expected < 10  # counted together: χ² holds for expected counts that are not small
    if rare.any():
        observed, expected = (np.append(a[~rare], a[rare].sum()) for a in (observed, expected))
    assert len(expected) > 3
    statistic = (np.square(observed - expected) / np.maximum(expected, 1)).sum()
    assert statistic < stats.chi2.isf(1e-4, len(expected) - 1)


@pytest.mark.sampled
@pytest.mark.parametrize("codes", [1, 2])
def test_greedy_samples_are_those_of_full_passes(codes):
    prior = make((3, 2), 7, config=TWO_LAYERS, classes=4, codes=codes, seed=1)
    greedy = prior.sample(4, temperature=0, y=np.arange(4), rngs=nnx.Rngs(0))
    slow = np.zeros((4, 6), np.int32)
    for i in range(6):
        logits = logits_of(prior, slow.reshape(4, 3, 2), np.arange(4))
        slow[:, i] = np.asarray(logits).reshape(4, 6, 7)[:, i].argmax(-1)
    np.testing.assert_array_equal(greedy.reshape(4, 6), slow)
    assert len(np.unique(slow, axis=0)) > 1  # classes are told apart
    again = prior.sample(4, temperature=0.0, y=np.arange(4), rngs=nnx.Rngs(1))
    np.testing.assert_array_equal(greedy, again)


def test_one_label_stands_for_all_and_each_has_its_own():
    prior = make((2,), 5, classes=3)
    labels = np.array([2, 0, 2, 1])
    each = prior.sample(4, y=labels, rngs=nnx.Rngs(3))
    for label in range(3):
        same = prior.sample(4, y=label, rngs=nnx.Rngs(3))
        np.testing.assert_array_equal(same[labels == label], each[labels == label])


@pytest.mark.slow
def test_equal_models_sample_with_one_program_and_keep_no_cache(programs):
    first, second = (make((2, 3), 4, classes=2, seed=seed) for seed in (0, 1))
    code_sampling.draw_codes.clear_cache()  # other tests may have compiled the same programs
    paths = set(nnx.to_flat_state(nnx.state(first)).paths)
    for prior, temperature, y in ((first, 1.0, None), (first, 0, 1), (second, 0.5, [1, 0, 0])):
        prior.sample(3, temperature=temperature, y=y)
    assert programs.count("jit(draw_codes)") == 1
    first.sample(4)
    assert programs.count("jit(draw_codes)") == 2
    assert set(nnx.to_flat_state(nnx.state(first)).paths) == paths


@pytest.mark.slow
def test_samples_are_of_their_key_and_compile_inside_other_programs():
    prior = make((2, 2), 5)
    draw = jax.jit(lambda key, t: prior.sample(6, temperature=t, rngs=nnx.Rngs(key)))
    key = jax.random.key(3)
    plain = prior.generate(6, temperature=0.7, rngs=nnx.Rngs(key))
    np.testing.assert_array_equal(draw(key, 0.7), plain)
    assert (np.asarray(draw(jax.random.key(4), 0.7)) != plain).any()
    assert (np.asarray(prior.sample(6)) != prior.sample(6)).any()  # its own streams go on


@pytest.mark.slow
def test_guidance_may_be_traced_and_mapped():
    prior = make((2,), 5, classes=3)
    key, labels = jax.random.key(3), jnp.arange(3)

    def draw(strength, y):
        return prior.sample(1, y=y, guidance=strength, rngs=nnx.Rngs(key))[0]

    mapped = jax.jit(jax.vmap(draw, in_axes=(None, 0)))(2.0, labels)
    each = [draw(2.0, label) for label in range(3)]
    np.testing.assert_array_equal(mapped, each)
    # A traced 1 is drawn from the logits of the class alone, up to rounding.
    np.testing.assert_array_equal(jax.jit(draw)(1.0, 2), draw(1.0, 2))


# The loss.


def test_the_loss_is_the_mean_of_minus_log_prob_and_its_units_agree():
    prior = make((2, 2), 3, classes=2)
    codes, y = np.random.default_rng(0).integers(0, 3, (9, 2, 2)), np.arange(9) % 2
    losses = losses_of(prior, {"x": codes, "y": y})
    nats = -np.asarray(prior.log_prob(codes, y), np.float64).mean()
    expected = {"total_loss": nats, "loss": nats, "elbo": -nats,
                "nats_per_code": nats / 4, "bits_per_code": nats / 4 / log(2)}  # fmt: skip
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert float(losses[name]) == pytest.approx(value, rel=1e-5)
    assert float(losses_of(prior, codes)["loss"]) == pytest.approx(
        -float(prior.log_prob(codes).mean()), rel=1e-5
    )
    outputs = nnx.jit(lambda model, batch, key: model.forward(batch, key))(
        prior, {"x": codes, "y": y}, jax.random.key(0)
    )
    np.testing.assert_allclose(outputs["logits"], logits_of(prior, codes, y), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_new_prior_knows_nothing():
    prior = nnx.jit(lambda: CodePrior(rngs=nnx.Rngs(0)))()
    prior.eval()
    codes = np.random.default_rng(0).integers(0, 512, (2, 7, 7))
    bits = float(losses_of(prior, codes)["bits_per_code"])
    # Logits of spread 0.02 √128 = 0.23 around 0 cost half of their variance, 0.04 bits.
    assert bits == pytest.approx(9, abs=0.1)


def test_the_loss_is_that_of_the_given_parameters_and_has_gradients_to_all():
    prior, other = make((2, 2), 3, seed=0), make((2, 2), 3, seed=1)
    codes = sequences(prior)
    params = nnx.state(other, nnx.Param)
    for given_params in (params, nnx.to_pure_dict(params)):
        found = jax.jit(lambda p: prior.loss_fn(p, codes, step=3)["loss"])(given_params)
        assert float(found) == pytest.approx(-float(other.log_prob(codes).mean()), rel=1e-5)
    gradient = jax.jit(jax.grad(lambda p: prior.loss_fn(p, codes)["loss"]))(params)
    for path, leaf in nnx.to_flat_state(gradient):
        # A bias of the keys shifts all scores of a query alike, which softmax doesn't see.
        assert (np.abs(leaf[...]).max() > 1e-4) != (path[-2:] == ("key", "bias")), path


def test_training_drops_out_and_is_a_function_of_the_key():
    prior = make((2, 2), 3, config=SMALL.model_copy(update={"dropout": 0.5}))
    codes, keys = sequences(prior), jax.random.split(jax.random.key(0))
    calm = [float(losses_of(prior, codes, key)["loss"]) for key in keys]
    prior.train()
    first, second, again = (float(losses_of(prior, codes, key)["loss"]) for key in (*keys, keys[0]))
    assert calm[0] == calm[1] == pytest.approx(-float(prior.log_prob(codes).mean()), rel=1e-5)
    assert first == again
    assert abs(first - second) > 1e-3
    assert abs(first - calm[0]) > 1e-3


def test_training_hides_the_class_of_a_tenth():
    prior = make((2,), 3, classes=2)
    n = 20_000
    codes = np.tile([0, 2], (n, 1))
    known, unknown = (-float(prior.log_prob(codes[:1], y)[0]) for y in (1, None))
    assert abs(known - unknown) > 0.1
    prior.train()
    loss = float(losses_of(prior, {"x": codes, "y": np.ones(n, int)}, jax.random.key(0))["loss"])
    # A binomial share: four of its standard deviations.
    share = (loss - known) / (unknown - known)
    assert share == pytest.approx(UNLABELLED, abs=4 * np.sqrt(0.1 * 0.9 / n))


# Training.

CHAINS = np.array([[[0.7, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7]],
                   [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]])  # fmt: skip
"""Transitions of two Markov chains, one a class; rows and columns sum to 1: all codes are as
frequent, so that only their order tells anything."""


def chain_log_prob(codes, y):
    steps = codes.reshape(len(codes), -1)
    return np.log(1 / 3) + np.log(CHAINS[y][steps[:, :-1], steps[:, 1:]]).sum(-1)


def chain_samples(rng, y, length):
    codes = [rng.integers(0, 3, len(y))]
    for _ in range(length - 1):
        cumulative = CHAINS[y, codes[-1]].cumsum(-1)
        codes.append((rng.random((len(y), 1)) > cumulative).sum(-1))
    return np.stack(codes, 1)


@pytest.mark.slow
def test_training_reaches_the_entropy_of_a_source_and_not_less():
    """The cross-entropy under the source itself, by enumeration: at least its entropy (Gibbs)."""
    jax.config.update("jax_disable_most_optimizations", False)  # this one runs for longer
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 20_000)
    x = chain_samples(rng, y, 4).reshape(-1, 2, 2).astype(np.uint8)  # as files may hold them
    config = PriorConfig(layers=1, width=32, heads=2, dropout=0.0)
    prior = nnx.jit(
        lambda: CodePrior(config, (2, 2), 3, num_classes=2, codes=2, rngs=nnx.Rngs(0))
    )()
    optimizer = create_optimizer(learning_rate=3e-3, steps=1200, schedule="cosine")
    trainer = Trainer(prior, optimizer, batch_size=256, progress=False)
    held_out = {"x": x[:1000], "y": y[:1000]}
    history = trainer.fit({"x": x, "y": y}, held_out, steps=1200)

    every = sequences(prior)
    truth = np.stack([np.exp(chain_log_prob(every, label)) for label in (0, 1)])
    np.testing.assert_allclose(truth.sum(-1), 1)
    # A source that is free in 2 + 3 · 6 numbers costs 20 / (2 · 10,000) = 0.001 nats to learn from
    # the 10,000 sequences of a class; five times that leaves room for Adam. Without a class a tenth
    # as many are seen of a mixture of chains. It is no chain: the best chain is 0.35 nats off.
    cases = [(truth[0], 0, 0.005), (truth[1], 1, 0.005), (truth.mean(0), None, 0.07)]
    for p, label, tolerance in cases:
        entropy = -(p * np.log(p)).sum()
        found = -(p * np.asarray(prior.log_prob(every, label), np.float64)).sum()
        assert entropy - 1e-5 < found < entropy + tolerance
        assert entropy < 4 * log(3) - 0.5  # what codes by themselves would cost

    metrics = trainer.evaluate(held_out)
    nats = -float(prior.log_prob(held_out["x"], held_out["y"]).mean())
    assert metrics["loss"] == pytest.approx(nats, rel=1e-5)
    last = [row for row in history if row["split"] == "validation"][-1]
    assert last["bits_per_code"] == pytest.approx(metrics["loss"] / 4 / log(2), rel=1e-5)
    assert last["elbo"] == pytest.approx(-last["loss"], rel=1e-5)


def test_a_prior_without_classes_does_not_read_the_labels_of_its_data():
    prior = make((2,), 3)
    x = sequences(prior).astype(np.uint8)
    metrics = Trainer(prior, batch_size=9, progress=False).evaluate({"x": x, "y": np.arange(9)})
    assert metrics["loss"] == pytest.approx(-float(prior.log_prob(x).mean()), rel=1e-5)


# Configuration and errors.


def program(config):
    """What training computes, as text."""
    graph, state = nnx.split(nnx.eval_shape(lambda: CodePrior(config, (2,), 3, rngs=nnx.Rngs(0))))
    loss = jax.make_jaxpr(lambda s, x, k: nnx.merge(graph, s).loss_fn(batch=x, rng=k))
    return str(loss(state, jnp.zeros((4, 2), jnp.int32), jax.random.key(0)))


def test_every_field_of_the_configuration_is_read():
    changes = {"layers": 2, "width": 12, "heads": 4, "dropout": 0.3}
    assert set(changes) == set(PriorConfig.model_fields) - {"name", "description"}
    before = program(SMALL)
    assert program(SMALL) == before
    for field, value in changes.items():
        assert program(SMALL.model_copy(update={field: value})) != before, field


@pytest.mark.parametrize(
    ("field", "values"),
    [("layers", [0, 1.5]), ("width", [0, None]), ("heads", [0]), ("dropout", [-0.1, 1.0])],
)
def test_configurations_refuse_bad_values_by_name(field, values):
    for value in values:
        with pytest.raises(ValidationError, match=rf"PriorConfig\n{field}"):
            PriorConfig(**{field: value})
    with pytest.raises(ValidationError, match="heads=4 must divide width=10"):
        PriorConfig(width=10)


@cache
def plain(classes=None):
    return make((2, 2), 5, classes=classes)


CODES = np.zeros((4, 2, 2), np.int32)
ERRORS = [
    (lambda: CodePrior(SMALL, (2, 2), 5, codes=3, rngs=nnx.Rngs(0)),
     r"codes=3 and code_shape=\(2, 2\): .* last axis, such as \(2, 2, 3\)"),
    (lambda: CodePrior(SMALL, (2, 0), 5, rngs=nnx.Rngs(0)), "code_shape=0: expected a positive"),
    (lambda: CodePrior(SMALL, (2,), 0, rngs=nnx.Rngs(0)), "codebook_size=0: expected a positive"),
    (lambda: CodePrior(SMALL, (2,), 3, 0, rngs=nnx.Rngs(0)), "num_classes=0: expected a positive"),
    (lambda: plain().log_prob(CODES[0]), r"x has shape \(2, 2\) .* codes \(batch, 2, 2\)"),
    (lambda: plain().log_prob(CODES[:0]), r"x has shape \(0, 2, 2\) .* at least one"),
    (lambda: plain().log_prob(CODES * 1.0), "type float.*expected integer codes"),
    (lambda: plain().loss_fn(batch=CODES - 1),
     r"codes from -1 to -1: expected 0 <= code < 5 \(codebook_size; for -1, encode without masks"),
    (lambda: plain().check_data(CODES + 5), "codes from 5 to 5"),
    (lambda: plain().loss_fn(), "loss_fn needs codes: pass batch"),
    (lambda: plain().loss_fn(batch={"y": [1]}), "loss_fn needs codes: pass batch"),
    (lambda: plain().loss_fn({}, CODES), "params do not fit this model"),
    (lambda: plain().log_prob(CODES, 1), "no classes; leave y out, or build with num_classes"),
    (lambda: plain().sample(2, y=1), "no classes; leave y out, or build with num_classes"),
    (lambda: plain(3).check_data(CODES, [0, 1, 2, 3]),
     r"labels from 0 to 3: expected 0 <= label < 3 \(num_classes\)"),
    (lambda: plain(3).sample(2, y=-1), "labels from -1 to -1"),
    (lambda: plain(3).sample(2, y=[0, 1, 2]), r"y has shape \(3,\) .* labels \(2,\), or one for"),
    (lambda: plain(3).log_prob(CODES, np.ones(4)), "type float32: expected integer labels"),
    (lambda: plain().sample(0), "n_samples=0: expected a positive integer"),
    (lambda: plain(3).sample(2, guidance=2.0), "guidance is towards a class: pass y"),
    (lambda: plain().sample(2, guidance=2.0), "guidance: this prior has no classes"),
    (lambda: plain(3).sample(2, y=1, guidance=np.ones(2)), "guidance=array.*expected a finite"),
    (lambda: plain(3).sample(2, y=1, guidance=-1.0), "guidance=-1.0: expected a finite number"),
    (lambda: plain().sample(2, temperature=-1.0), "temperature=-1.0: expected a finite number"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), ERRORS)
def test_errors_say_what_was_given_and_the_way_out(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(st.integers(0, 15), st.integers(-(2**31), 2**31 - 1))
def test_a_code_out_of_range_is_found_anywhere(place, value):
    codes = CODES.copy()
    codes.flat[place] = value
    if 0 <= value < 5:
        plain().check_data(codes)
    else:
        with pytest.raises(ValueError, match="expected 0 <= code < 5"):
            plain().check_data(codes)
