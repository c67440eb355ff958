"""Active units, collapse and the KL of each latent, against float64 numpy and quadrature."""

import numpy as np
import pytest
from scipy import integrate, stats

from workshop.generative_models.evaluation.latents import (
    active_units,
    collapse,
    kl_per_dimension,
)


def test_variances_and_their_errors_are_those_of_gaussian_means():
    n, scale = 4000, np.array([1.0, 0.3, 0.02])
    mean = np.random.default_rng(0).normal(size=(n, 3)) * scale + [0.0, 5.0, 0.0]
    units = active_units(mean)
    found = np.array([v.value for v in units.variance])
    # Means of up to 6 are held in float32, to 2e-7: 1e-6 of their spread of 0.3.
    np.testing.assert_allclose(found, mean.var(axis=0, ddof=1), rtol=1e-5)
    # The variance of a Gaussian sample has the error σ² √(2 / (n - 1)); the estimate of the error
    # rests on fourth moments, known to √(104 / n) / 4 = 4% here.
    errors = [v.standard_error for v in units.variance]
    np.testing.assert_allclose(errors, scale**2 * np.sqrt(2 / (n - 1)), rtol=0.16)
    assert units.active.tolist() == [True, True, False]
    assert (units.count.value, units.count.n, units.threshold) == (2.0, n, 0.01)
    # All are more than 20 of their errors away from the threshold.
    assert units.count.standard_error < 1e-20
    assert active_units(mean, threshold=0.0001).active.tolist() == [True, True, True]


def test_latents_at_the_threshold_make_the_count_uncertain():
    # Four latents exactly at the threshold: each is a toss of a coin, √(4 / 4) = 1 in all. A
    # constant latent is certain.
    column = np.random.default_rng(1).normal(size=200).astype(np.float32)
    mean = np.stack([column] * 4 + [np.zeros_like(column)], axis=1)
    at = active_units(mean, threshold=column.astype(np.float64).var(ddof=1))
    assert at.count.standard_error == pytest.approx(1.0, rel=1e-6)
    # One error above: other side with chance Φ(-1), scipy's value for it.
    first = at.variance[0]
    below = active_units(mean[:, :1], threshold=first.value - first.standard_error)
    chance = stats.norm.cdf(-1)
    assert below.count.standard_error == pytest.approx(np.sqrt(chance * (1 - chance)), rel=1e-9)
    assert below.count.value == 1


def with_active(active, latents):
    mean = np.zeros((10, latents))
    mean[::2, :active] = 1.0
    return active_units(mean)


def test_collapse_is_named_with_its_remedies():
    assert collapse(with_active(3, 16)) == (
        "13 of 16 latents are inactive (Var E[z|x] < 0.01): lower beta, warm it up, or set "
        "free_bits"
    )


@pytest.mark.parametrize(
    ("active", "latents", "named"),
    # 19 of 50: a VAE of one stochastic layer on MNIST in table 1 of Burda et al. (2016).
    [(19, 50, False), (5, 10, False), (3, 10, False), (2, 10, True), (0, 1, True), (1, 1, False),
     (1, 3, False), (1, 2, False), (0, 2, True), (4, 16, True), (5, 16, False)],
)  # fmt: skip
def test_latents_without_use_are_no_collapse_while_a_quarter_works(active, latents, named):
    assert (collapse(with_active(active, latents)) is not None) == named


def quadrature(mean, log_var):
    """Return ∫ q log(q / p) over 12 standard deviations, in float64."""
    q, p = stats.norm(mean, np.exp(0.5 * log_var)), stats.norm()
    span = 12 * q.std()
    value, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean - span, mean + span, limit=200
    )
    return value


def test_kl_of_each_latent_is_that_of_quadrature():
    rng = np.random.default_rng(2)
    mean, log_var = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    each = np.vectorize(quadrature)(mean, log_var)
    found = kl_per_dimension(mean, log_var)
    # Float32 terms of order one.
    np.testing.assert_allclose([k.value for k in found], each.mean(axis=0), rtol=2e-6)
    errors = each.std(axis=0, ddof=1) / np.sqrt(6)
    np.testing.assert_allclose([k.standard_error for k in found], errors, rtol=1e-5)
    assert {(k.n, k.unit) for k in found} == {(6, "nats")}


def test_log_variances_are_clipped_as_everywhere():
    zeros = np.zeros((2, 1))
    assert kl_per_dimension(zeros, zeros - 90) == kl_per_dimension(zeros, zeros - 20)
    assert np.isfinite(kl_per_dimension(zeros, zeros + 90)[0].value)


ZEROS = np.zeros((3, 2))
WRONG = [
    (lambda: active_units([1.0, 2.0]), r"active_units\(mean\).*\(n, latents\).*\(2,\).*reshape"),
    (lambda: active_units([[1.0, 2.0]]), r"active_units\(mean\).*at least 2 examples, got 1"),
    (lambda: active_units(np.zeros((3, 0))), r"active_units\(mean\).*\(3, 0\)"),
    (lambda: active_units([[0.0], [np.nan]]), r"active_units\(mean\).*finite.*1 rows of 2"),
    (lambda: active_units([[0.0], [1e300]]), r"active_units\(mean\).*finite"),
    (lambda: active_units(ZEROS, threshold=-1), "active_units: threshold=-1.*>= 0"),
    (lambda: active_units(ZEROS, threshold=np.nan), "active_units: threshold=nan"),
    (lambda: kl_per_dimension(ZEROS, ZEROS[:2]), r"mean has shape \(3, 2\) and log_var \(2, 2\)"),
    (lambda: kl_per_dimension(ZEROS, ZEROS + np.inf), r"kl_per_dimension\(log_var\).*3 rows of 3"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
