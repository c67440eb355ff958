"""Top-k, top-p and completion of a tiny prior, against the enumeration of its sequences."""

from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special, stats

from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.models.vae.code_sampling import UNKNOWN, Choice, _most_probable
from workshop.generative_models.models.vae.prior import CodePrior

VALUES, SHAPE = 3, (2, 2)
EVERY = np.array(list(product(range(VALUES), repeat=4)), np.int32)
DRAWS = 4000


@pytest.fixture(scope="module")
def prior():
    """A prior without classes whose probabilities differ: a readout far from its small start."""
    made = CodePrior(PriorConfig(layers=1, width=8, heads=2), SHAPE, VALUES, rngs=nnx.Rngs(0))
    made.readout.kernel = nnx.Param(50 * made.readout.kernel[...])
    made.eval()
    return made


@pytest.fixture(scope="module")
def conditionals(prior):
    """p(s_i | s_<i) of every sequence, (81, 4, values), in float64."""
    logits = np.asarray(prior(EVERY.reshape(-1, *SHAPE))["logits"], np.float64)
    return special.softmax(logits.reshape(-1, 4, VALUES), axis=-1)


def kept(p, top_k, top_p, temperature):
    """One distribution with the codes left out that top_k and top_p leave out, by a loop."""
    p = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    order, chosen, total = np.argsort(-p, kind="stable"), [], 0.0
    of_k = p[order[:top_k]].sum()
    for code in order[:top_k]:
        if top_p is not None and total >= top_p:
            break
        chosen.append(code)
        total += p[code] / of_k
    result = np.zeros_like(p)
    result[chosen] = p[chosen] / p[chosen].sum()
    return result


def agree(samples, expected):
    """Whether counts of sequences fit probabilities, where these leave any at all."""
    rows = samples.reshape(-1, 4) @ VALUES ** np.arange(3, -1, -1)
    counts = np.bincount(rows, minlength=len(EVERY))
    assert counts[expected == 0].sum() == 0
    likely = expected * len(rows) > 5
    assert counts[~likely].sum() < 5 * len(EVERY)
    scaled = expected[likely] / expected[likely].sum() * counts[likely].sum()
    assert likely.sum() == 1 or stats.chisquare(counts[likely], scaled).pvalue > 1e-4


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"),
    [(None, None, 1.0), (2, None, 1.0), (1, None, 1.0), (9, None, 1.0), (None, 0.6, 1.0),
     (None, 1.0, 0.7), (2, 0.7, 1.5), (None, 1e-6, 1.0)],
)  # fmt: skip
def test_samples_have_the_probabilities_of_enumeration(
    prior, conditionals, top_k, top_p, temperature
):
    allowed = np.array(
        [[kept(p, top_k, top_p, temperature) for p in places] for places in conditionals]
    )
    expected = np.take_along_axis(allowed, EVERY[..., None], -1)[..., 0].prod(-1)
    assert expected.sum() == pytest.approx(1)
    samples = prior.sample(
        DRAWS, top_k=top_k, top_p=top_p, temperature=temperature, rngs=nnx.Rngs(2)
    )
    agree(np.asarray(samples), expected)


def test_a_prefix_is_completed_from_its_conditional_distribution(prior, conditionals):
    codes, known = np.array([[1, 2], [0, 0]]), np.array([[True, True], [False, False]])
    joint = np.take_along_axis(conditionals, EVERY[..., None], -1)[..., 0].prod(-1)
    expected = np.where((EVERY[:, :2] == [1, 2]).all(1), joint, 0)
    expected /= expected.sum()
    many = np.broadcast_to(codes, (DRAWS, *SHAPE))
    agree(np.asarray(prior.complete(many, known, rngs=nnx.Rngs(3))), expected)


def test_other_known_codes_stay_and_the_rest_sees_only_what_is_before(prior, conditionals):
    left = np.array([[True, False], [True, False]])
    codes = np.broadcast_to(np.array([[2, 0], [0, 0]]), (DRAWS, *SHAPE))
    steps = np.take_along_axis(conditionals, EVERY[..., None], -1)[..., 0]
    expected = np.where((EVERY[:, [0, 2]] == [2, 0]).all(1), steps[:, 1] * steps[:, 3], 0)
    assert expected.sum() == pytest.approx(1)
    agree(np.asarray(prior.complete(codes, left, rngs=nnx.Rngs(4))), expected)


def test_masks_may_differ_by_example_and_one_example_may_stand_alone(prior):
    codes = np.array([[[1, UNKNOWN], [0, UNKNOWN]], [[UNKNOWN, 2], [UNKNOWN, 2]]])
    known = codes != UNKNOWN
    found = np.asarray(prior.complete(codes, known))
    np.testing.assert_array_equal(found[known], codes[known])
    assert found.min() >= 0
    one = prior.complete(codes[0], known[0], temperature=0)
    assert one.shape == SHAPE
    np.testing.assert_array_equal(prior.complete(one, np.ones(SHAPE, bool)), one)


@pytest.mark.parametrize("top_k", [1, 2, 4, 7])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_of_equal_codes_exactly_k_stay(top_k, temperature):
    logits = jnp.array([0.0, 1.0, 1.0, 1.0, -2.0])
    choice = Choice(jnp.float32(temperature), None, jnp.int32(top_k), jnp.float32(1.0))
    stay = np.flatnonzero(np.isfinite(_most_probable(logits, choice)))
    assert sorted(stay) == sorted([1, 2, 3, 0, 4][:top_k])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.sample(2, top_k=0), "top_k=0: expected a positive integer"),
        (lambda p: p.sample(2, top_p=0.0), "top_p=0.0: expected 0 < top_p <= 1"),
        (lambda p: p.sample(2, top_p=float("nan")), "top_p=nan: expected"),
        (lambda p: p.complete(np.zeros((2, 3), int), np.ones(SHAPE, bool)), "codes have shape"),
        (lambda p: p.complete(np.zeros(SHAPE), np.ones(SHAPE, bool)), "type float64"),
        (lambda p: p.complete(np.zeros(SHAPE, int), np.ones(SHAPE, int)), "known has shape"),
        (lambda p: p.complete(np.zeros(SHAPE, int), np.ones(2, bool)), "known has shape"),
        (lambda p: p.complete(np.full(SHAPE, 3), np.ones(SHAPE, bool)), "0 <= known code < 3"),
        (lambda p: p.complete(np.full(SHAPE, -1), np.ones(SHAPE, bool)), "0 <= known code < 3"),
    ],
)
def test_what_cannot_be_chosen_is_refused(prior, call, message):
    with pytest.raises(ValueError, match=message):
        call(prior)
