"""The aggregate posterior against the prior, by quadrature, Monte Carlo and the jackknife."""

import numpy as np
import pytest
from scipy import integrate, stats

from workshop.generative_models.evaluation.estimates import jackknife
from workshop.generative_models.evaluation.latents import kl_decomposition
from workshop.generative_models.evaluation.latents.aggregate import (
    aggregate_posterior,
    far_from_prior,
    marginal_kl,
    moments_kl,
)


def kl_by_quadrature(q, log_p):
    value, _ = integrate.quad(lambda z: q(z) * (np.log(q(z)) - log_p(z)), -9, 9, limit=200)
    return value


def test_two_humps_cost_what_quadrature_says():
    # q(z) = ½ N(-1.5, ¼) + ½ N(1.5, ¼): mean 0, variance 1.5² + ¼ = 2.5.
    n = 1000
    mean = np.where(np.arange(n) % 2, 1.5, -1.5)[:, None]
    found = aggregate_posterior(mean, np.full((n, 1), np.log(0.25)))
    assert found.mean[0].value == pytest.approx(0, abs=1e-12)
    assert found.variance[0].value == pytest.approx(2.5, rel=1e-7)

    def humps(z):
        return 0.5 * (stats.norm.pdf(z, -1.5, 0.5) + stats.norm.pdf(z, 1.5, 0.5))

    gauss = stats.norm(0, np.sqrt(2.5))
    gaussian_kl = kl_by_quadrature(gauss.pdf, stats.norm.logpdf)
    expected = kl_by_quadrature(humps, stats.norm.logpdf)
    assert found.gaussian_kl[0].value == pytest.approx(gaussian_kl, rel=1e-4)  # tails beyond ±9
    assert found.joint_gaussian_kl == found.gaussian_kl[0]
    # The mixture is q(z) itself here, so that only the draws err.
    marginal = marginal_kl(mean, np.full((n, 1), np.log(0.25)))[0]
    assert abs(marginal.value - expected) < 4 * marginal.standard_error < 0.15
    # KL(q ‖ p) = KL(q ‖ g) + KL(g ‖ p), as the docstring has it.
    assert expected == pytest.approx(kl_by_quadrature(humps, gauss.logpdf) + gaussian_kl, rel=1e-4)


def posteriors(n=400, seed=0):
    rng = np.random.default_rng(seed)
    mean = rng.normal(size=(n, 3)) @ [[1.0, 0.5, 0.0], [0.0, 0.4, 0.2], [0.0, 0.0, 1.5]]
    return mean + np.array([0.0, 0.5, -0.2]), rng.normal(size=(n, 3)) - 1.5


def test_moments_are_those_of_samples():
    mean, log_var = posteriors()
    found = aggregate_posterior(mean, log_var)
    repeats = 1000
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(repeats, *mean.shape))
    z = (mean + np.exp(0.5 * log_var) * noise).reshape(-1, 3)
    # 400,000 draws, stratified over the components: errors below σ / 600 and σ² √2 / 600.
    np.testing.assert_allclose([m.value for m in found.mean], z.mean(axis=0), atol=0.01)
    np.testing.assert_allclose([v.value for v in found.variance], z.var(axis=0), rtol=0.015)
    gauss = stats.multivariate_normal(z.mean(axis=0), np.cov(z.T))
    x = gauss.rvs(100_000, random_state=2)
    ratio = gauss.logpdf(x) - stats.multivariate_normal(np.zeros(3)).logpdf(x)
    assert abs(found.joint_gaussian_kl.value - ratio.mean()) < 4 * ratio.std() / 100_000**0.5 + 0.01


def test_errors_of_the_moments_are_those_of_the_jackknife():
    mean, log_var = posteriors()
    found = aggregate_posterior(mean, log_var)
    variance = np.exp(log_var)

    def error(statistic, *arrays):
        return jackknife(statistic, *arrays, groups=400)

    def spread(m, v):
        return float(v.mean() + m.var())

    def joint(m, v):
        return moments_kl(m, v).value

    # Both are first-order; the rest is of order 1/n, below 1%, or a few percent of squares.
    pairs = [
        (found.joint_gaussian_kl, error(joint, mean, variance)),
        (found.gaussian_kl[1], error(joint, mean[:, 1:2], variance[:, 1:2])),
        (found.variance[2], error(spread, mean[:, 2], variance[:, 2])),
        (found.mean[0], error(lambda m: float(m.mean()), mean[:, 0])),
    ]
    for estimate, expected in pairs:
        assert estimate.standard_error == pytest.approx(expected, rel=0.05)
        assert estimate.n == 400


def test_marginals_are_the_parts_of_the_dimension_wise_kl():
    mean, log_var = posteriors()
    found = marginal_kl(mean, log_var, seed=3)
    parts = kl_decomposition(mean, log_var, seed=3)
    total = sum(k.value for k in found)
    assert total == pytest.approx(parts["dimension_wise_kl"].value, abs=1e-9)
    assert found[0].estimator == parts["dimension_wise_kl"].estimator


def test_codes_that_are_the_prior_cost_nothing():
    zeros = np.zeros((20, 4))
    found = aggregate_posterior(zeros, zeros)
    assert {m.value for m in found.mean} == {0.0}
    assert {v.value for v in found.variance} == {1.0}
    assert found.joint_gaussian_kl.value == pytest.approx(0, abs=1e-12)
    assert max(abs(k.value) for k in marginal_kl(zeros, zeros)) < 2e-6  # float32
    assert far_from_prior(found) is None


def test_latents_that_say_the_same_give_no_nan():
    # Rank one and far larger than the noise: det S is all rounding.
    mean = np.random.default_rng(4).normal(size=(20, 1)) * np.full(4, 1e4)
    found = aggregate_posterior(mean, np.full((20, 4), -30.0))
    assert np.isfinite(found.joint_gaussian_kl.value)
    assert np.isfinite(found.joint_gaussian_kl.standard_error)


def still(variance, mean=0.0):
    """Return posteriors that are all alike, latents too: no moment has an error."""
    return np.full((20, 4), mean), np.full((20, 4), np.log(variance))


@pytest.mark.parametrize(
    ("variance", "mean", "named"),
    # ½ (v - 1 - log v) = 0.097, 0.107, 0.095, 0.106 and ½ m² = 0.097, 0.106.
    [(0.5, 0, False), (0.48, 0, True), (1.75, 0, False), (1.8, 0, True), (1, 0.44, False),
     (1, -0.46, True)],
)  # fmt: skip
def test_latents_far_from_the_prior_are_those_of_a_tenth_of_a_nat(variance, mean, named):
    assert (far_from_prior(aggregate_posterior(*still(variance, mean))) is not None) == named


def test_latents_far_from_the_prior_are_named_with_remedies():
    columns = [still(*moments) for moments in ((1.0,), (4.0,), (1.0, 0.6), (1.0,))]
    mean, log_var = (np.stack(c, axis=1)[..., 0] for c in zip(*columns, strict=True))
    found = aggregate_posterior(mean, log_var)
    odd_data = "3 of 9 features of the training data are far from unit scale: 0 (1e+03 ± 1)"
    said = far_from_prior(found, odd_data)
    assert said is not None
    assert "raise beta" not in said
    assert said.endswith(f"reconstructions: {odd_data}; standardise them (standardize=True) and "
                         "train again")  # fmt: skip
    assert far_from_prior(found) == (
        "2 of 4 latents are far from the prior (latent 1: mean 0.00, variance 4.00): samples from "
        "the prior will look worse than reconstructions: raise beta, or sample around the codes of "
        "examples"
    )


def test_few_examples_raise_no_false_alarm():
    # Twenty codes of the prior: some latents are off by more than 0.1 nats, by chance alone.
    rng = np.random.default_rng(5)
    found = [
        aggregate_posterior(rng.normal(size=(20, 4)) * 0.95, np.full((20, 4), np.log(0.0975)))
        for _ in range(50)
    ]
    values = np.array([[k.value for k in f.gaussian_kl] for f in found])
    assert (values > 0.1).any()
    assert sum(far_from_prior(f) is not None for f in found) <= 1


ZEROS = np.zeros((3, 2))
WRONG = [
    (ZEROS[:1], ZEROS[:1], r"aggregate_posterior\(mean\).*at least 2 examples"),
    (ZEROS, ZEROS + np.nan, r"aggregate_posterior\(log_var\).*finite"),
    (ZEROS, ZEROS[:, :1], r"aggregate_posterior: mean has shape \(3, 2\)"),
]


@pytest.mark.parametrize(("mean", "log_var", "message"), WRONG)
def test_errors_name_the_argument(mean, log_var, message):
    with pytest.raises(ValueError, match=message):
        aggregate_posterior(mean, log_var)
