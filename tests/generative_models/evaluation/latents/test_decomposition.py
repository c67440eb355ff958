"""The parts of the KL, against a literal double loop in float64 and Gaussians in closed form."""

import itertools
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workshop.generative_models.core.distributions.aggregate import log_shares
from workshop.generative_models.evaluation.estimates import Estimate
from workshop.generative_models.evaluation.latents import decomposition
from workshop.generative_models.evaluation.latents.decomposition import (
    kl_decomposition,
    log_ratios,
    mutual_information,
    saturation,
)

PARTS = ("mutual_information", "total_correlation", "dimension_wise_kl")


def draws(mean, log_var, seed):
    """Return z = μ + σ ε with the noise of each example's own key, in float64."""
    key, latents = jax.random.key(seed), mean.shape[1]
    noise = [jax.random.normal(jax.random.fold_in(key, i), (latents,)) for i in range(len(mean))]
    return mean + np.exp(0.5 * log_var) * np.asarray(noise, np.float64)


def density(z, mean, log_var):
    return np.exp(-0.5 * (z - mean) ** 2 / np.exp(log_var)) / np.sqrt(2 * np.pi * np.exp(log_var))


def weight(method, place, other, size, whole):
    """Return the weight of q(z|x_other) in q(z) for the z of the example at `place` of a batch.

    Chen et al. 2018, appendix C.1: 1/(N M) Σ_m q(z|n_m), M in the batch; C.2, of a batch of M + 1
    with n* that z came from: q(z|n*)/N + 1/M Σ_{m<M} q(z|n_m) + (N - M)/(N M) q(z|n_M). Which of
    the others is n_M is free; the code makes it the next one. (The authors' `vae_quant.py`,
    `_log_importance_weight_matrix`, strides by M + 1 through a matrix of M + 1 columns, so that
    1/N falls on its first column and not on the diagonal: their pull request 1 points it out.)
    """
    if method == "all":
        return 1 / size
    if method == "mws":
        return 1 / (whole * size)
    m = size - 1
    if other == place:
        return 1 / whole
    return (whole - m) / (whole * m) if other == (place + 1) % size else 1 / m


def double_loop(mean, log_var, order, method, whole, seed):
    z = draws(mean, log_var, seed)
    batches, size = order.shape
    parts = np.zeros((3, batches, size))
    for b, i in itertools.product(range(batches), range(size)):
        own = order[b, i]
        joint, marginal = 0.0, np.zeros(mean.shape[1])
        for j in range(size):
            w = weight(method, i, j, size, whole)
            each = density(z[own], mean[order[b, j]], log_var[order[b, j]])
            joint += w * np.prod(each)
            marginal += w * each
        posterior = np.prod(density(z[own], mean[own], log_var[own]))
        prior = np.prod(density(z[own], 0.0, 0.0))
        product = np.prod(marginal)
        parts[:, b, i] = np.log([posterior / joint, joint / product, product / prior])
    return parts


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("method", "options", "batches"),
    [("all", {}, 1), ("mws", {"batch_size": 5}, 2), ("mss", {"batch_size": 5}, 2),
     ("mss", {"batch_size": 2, "dataset_size": 500}, 6), ("mws", {"dataset_size": 500}, 1)],
)  # fmt: skip
def test_parts_are_those_of_a_double_loop(method, options, batches):
    rng = np.random.default_rng(0)
    n, whole = 13, options.get("dataset_size", 13)
    mean, log_var = rng.normal(size=(n, 3)), rng.normal(size=(n, 3)) - 1
    order, size = decomposition._batches(n, method, *map(options.get, SIZES), 4)
    assert (size, len(order)) == (whole, batches)
    # Each example is in one batch at the most.
    assert len(np.unique(order)) == order.size == batches * options.get("batch_size", n)
    expected = double_loop(mean, log_var, order, method, whole, 4)
    found = kl_decomposition(mean, log_var, method=method, seed=4, **options)
    for name, part in zip(PARTS, expected, strict=True):
        assert found[name].n == order.size
        # Sums of a few float32 log-densities of up to about 30.
        assert found[name].value == pytest.approx(part.mean(), abs=2e-5)
        independent = part[0] if method == "all" else part.mean(axis=1)
        if len(independent) == 1:
            assert found[name].standard_error is None
        else:
            error = independent.std(ddof=1) / np.sqrt(len(independent))
            assert found[name].standard_error == pytest.approx(error, abs=2e-5)
    assert found["sum"].value == pytest.approx(sum(found[k].value for k in PARTS), abs=1e-9)


SIZES = ("dataset_size", "batch_size")


@pytest.mark.parametrize(("whole", "size"), [(5, 3), (4, 4), (6, 2)])
def test_stratified_weights_are_without_bias(whole, size):
    # Over all batches that hold example 0 in the first place and others in any order, each of N
    # examples has the weight 1/N on average, so that q(z) is right on average.
    weights = np.exp(np.asarray(log_shares(jnp.int32(0), size, float(whole), "mss")))
    total, batches = np.zeros(whole), list(itertools.permutations(range(1, whole), size - 1))
    for others in batches:
        total[[0, *others]] += weights
    np.testing.assert_allclose(total / len(batches), 1 / whole, rtol=1e-6)
    # The same for the last place, whose next is the first.
    turned = np.exp(np.asarray(log_shares(jnp.int32(size - 1), size, float(whole), "mss")))
    np.testing.assert_array_equal(np.roll(weights, -1), turned)


def gaussian_codes(n, correlation, noise, scale, seed):
    """Return posteriors whose aggregate is N(0, C + s² I), and its parts in closed form."""
    covariance = scale**2 * np.array([[1.0, correlation], [correlation, 1.0]])
    mean = np.random.default_rng(seed).multivariate_normal([0, 0], covariance, n)
    aggregate = covariance + noise * np.eye(2)
    variance = np.diag(aggregate)
    closed = {
        "mutual_information": 0.5 * np.linalg.slogdet(aggregate / noise)[1],
        "total_correlation": 0.5 * (np.log(variance).sum() - np.linalg.slogdet(aggregate)[1]),
        "dimension_wise_kl": 0.5 * np.sum(variance - 1 - np.log(variance)),
    }
    return mean, np.full((n, 2), np.log(noise)), closed


@pytest.mark.sampled
@pytest.mark.parametrize("method", ["all", "mss"])
def test_parts_of_gaussian_codes_are_those_in_closed_form(method):
    # I = 1.9, TC = 0.47, KL of the marginals 0.65 nats.
    mean, log_var, closed = gaussian_codes(3000, 0.9, 0.25, 1.3, seed=3)
    batch = {} if method == "all" else {"batch_size": 600}
    found = kl_decomposition(mean, log_var, method=method, **batch)
    # log of a mean over components lies below its expectation's log by half its relative variance:
    # about (e^I - 1)/2n = 0.001 for 3,000, 0.005 for 600; the stratified one has one component more
    # of weight, (N - M)/(N M), no larger than the others. Four standard errors otherwise.
    for name, value in closed.items():
        allowed = 4 * found[name].standard_error + (0.002 if method == "all" else 0.01)
        assert abs(found[name].value - value) < allowed, name
        assert found[name].standard_error < 0.06, name  # or else it would show little
    assert abs(found["kl"].value - sum(closed.values())) < 4 * found["kl"].standard_error
    # Sum and KL share the means, not the draws.
    assert abs(found["sum"].value - found["kl"].value) < 4 * found["sum"].standard_error
    assert {e.unit for e in found.values()} == {"nats"}


@pytest.mark.slow
def test_standard_errors_are_the_scatter_over_data_sets():
    found = [
        kl_decomposition(*gaussian_codes(200, 0.9, 0.25, 1.3, seed)[:2], seed=seed)
        for seed in range(100)
    ]
    for name in (*PARTS, "sum", "kl"):
        scatter = np.std([f[name].value for f in found], ddof=1)
        claimed = np.mean([f[name].standard_error for f in found])
        # The scatter of a hundred is known to 1/√200 = 7%; the rest is for few examples.
        assert scatter == pytest.approx(claimed, rel=0.25), name


def test_codes_that_ignore_the_data_hold_nothing():
    zeros = np.zeros((40, 2))
    found = kl_decomposition(zeros, zeros)
    # Sums of 40 equal exponentials in float32.
    assert all(abs(e.value) < 2e-6 for e in found.values())
    # One latent alike for all beside one that tells all: log 40 still.
    mean = np.stack([np.arange(40) * 50.0, np.zeros(40)], axis=1)
    told = kl_decomposition(mean, np.zeros((40, 2)))
    assert told["mutual_information"].value == pytest.approx(log(40), abs=2e-6)
    assert told["total_correlation"].value == pytest.approx(0, abs=2e-6)
    assert told["mutual_information"] == mutual_information(mean, np.zeros((40, 2)))


def test_weighted_sampling_of_the_whole_is_off_by_known_logarithms():
    # With M = N the weights are 1/N² for the mixture's 1/N: log N is missing in log q(z) and in
    # each of the d marginals.
    mean, log_var, _ = gaussian_codes(40, 0.5, 0.5, 1.0, seed=5)
    exact, weighted = (kl_decomposition(mean, log_var, method=m) for m in ("all", "mws"))
    for name, logarithms in zip(PARTS, (1, 2 - 1, -2), strict=True):
        off = weighted[name].value - exact[name].value
        assert off == pytest.approx(logarithms * log(40), abs=1e-5), name


def test_results_depend_on_no_block_and_draws_on_no_batch(monkeypatch):
    mean, log_var, _ = gaussian_codes(40, 0.5, 0.5, 1.0, seed=6)
    mean, log_var = mean.astype(np.float32), log_var.astype(np.float32)
    one = np.arange(40)[None]
    whole = log_ratios(mean, log_var, one, "all", 40, 0)
    monkeypatch.setattr(decomposition, "BLOCK", 7 * 40 * 2)
    for a, b in zip(whole, log_ratios(mean, log_var, one, "all", 40, 0), strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)
    # Whatever the batches, the three parts add up to log q(z|x) / p(z) of the same z.
    halves = np.random.default_rng(0).permutation(40).reshape(2, 20)
    split = log_ratios(mean, log_var, halves, "mss", 40, 0)
    total = [a + b + c.sum(axis=-1) for a, b, c in (whole, split)]
    np.testing.assert_allclose(total[0][0][halves], total[1], atol=2e-5)


@settings(max_examples=10)
@given(st.floats(-30, 30), st.floats(0, 1e4), st.integers(0, 2**31 - 1))
def test_finite_input_gives_finite_parts(log_var, scale, seed):
    mean = np.random.default_rng(seed).normal(size=(40, 2)) * scale
    for method in decomposition.METHODS:
        found = kl_decomposition(mean, np.full((40, 2), log_var), method=method, seed=seed)
        assert all(np.isfinite(e.value) for e in found.values())
        if method == "all":  # q(z) >= q(z|x) / n, but for rounding
            assert found["mutual_information"].value < log(40) + 1e-4


def test_too_few_examples_are_named():
    def held(value):
        return Estimate(value, None, 1000, "mixture")

    # log 1,000 - log 10 = 4.605.
    assert saturation(held(4.6)) is None
    assert saturation(held(4.61)) == (
        "mutual information is 4.61 of at most log 1,000 = 6.91 nats: what is beyond counts as "
        "total correlation; give more examples, or read the two only together"
    )


def test_what_saturation_says_is_so():
    # Eight independent latents of one nat each: I = 8, TC = 0; 500 examples cannot tell.
    variance = np.exp(-2.0)
    mean = np.random.default_rng(7).normal(size=(500, 8)) * np.sqrt(1 - variance)
    found = kl_decomposition(mean, np.full((500, 8), np.log(variance)))
    assert saturation(found["mutual_information"]) is not None
    assert found["mutual_information"].value < log(500)
    missing = 8 - found["mutual_information"].value
    # The sum of both is 8 within four errors, and the KL of marginals near 0 all the same.
    error = 4 * found["sum"].standard_error
    assert found["total_correlation"].value == pytest.approx(missing, abs=error)
    assert abs(found["dimension_wise_kl"].value) < 0.1


ZEROS = np.zeros((6, 2))
WRONG = [
    ({}, ZEROS[:1], r"kl_decomposition\(mean\).*at least 2 examples, got 1"),
    ({}, ZEROS + np.nan, r"kl_decomposition\(mean\).*finite.*6 rows of 6"),
    ({"method": "mms"}, ZEROS, "kl_decomposition: method='mms'.*did you mean"),
    ({"batch_size": 3}, ZEROS, "batch_size=3 with method='all'.*leave them out"),
    ({"dataset_size": 9}, ZEROS, "dataset_size=9.*with method='all'"),
    ({"method": "mss", "batch_size": 7}, ZEROS, "batch_size=7: expected 2 <= batch_size <= 6"),
    ({"method": "mss", "batch_size": 1}, ZEROS, "batch_size=1: expected 2 <= batch_size"),
    ({"method": "mws", "batch_size": 0}, ZEROS, "batch_size=0: expected a positive integer"),
    ({"method": "mws", "dataset_size": 5}, ZEROS, "dataset_size=5: expected at least 6"),
]


@pytest.mark.parametrize(("options", "mean", "message"), WRONG)
def test_errors_name_the_argument(options, mean, message):
    with pytest.raises(ValueError, match=message):
        kl_decomposition(mean, np.zeros_like(mean), **options)
    with pytest.raises(ValueError, match=r"mean has shape \(6, 2\) and log_var \(6, 1\)"):
        mutual_information(ZEROS, ZEROS[:, :1])
