"""Penalties on covariances, against NumPy's and the moments of a mixture."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from handmade import KL, MEAN, RECONSTRUCTION, SCALE, losses

from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.objectives import DIPI, DIPII
from workshop.generative_models.models.vae.posteriors import DiagonalNormalPosterior


def penalty(covariance, lambda_od, lambda_d):
    off = covariance - np.diag(np.diag(covariance))
    return lambda_od * (off**2).sum() + lambda_d * ((np.diag(covariance) - 1) ** 2).sum()


@pytest.mark.parametrize("kind", [DIPI, DIPII])
def test_the_penalty_is_that_of_the_covariance(kind):
    covariance = np.cov(MEAN.T, bias=True)
    if kind is DIPII:
        covariance = covariance + np.diag((SCALE**2).mean(0))
    found = losses(kind(2.0, 3.0), beta=0.5)
    expected = penalty(covariance, 2.0, 3.0)
    assert found["dip_loss"] == pytest.approx(expected, rel=1e-5)
    total = RECONSTRUCTION + 0.5 * KL.sum(1).mean() + expected
    assert found["total_loss"] == pytest.approx(total, rel=1e-5)
    assert found["beta"] == 0.5


def test_the_second_covariance_is_that_of_the_aggregate_posterior():
    rng = np.random.default_rng(1)
    rows = rng.integers(6, size=200_000)
    samples = MEAN[rows] + SCALE[rows] * rng.normal(size=(200_000, 2))
    found = losses(DIPII(1.0, 0.0))["dip_loss"], losses(DIPII(0.0, 1.0))["dip_loss"]
    sampled = np.cov(samples.T)
    # Squares of covariances of about 1, whose errors are about 1/√200,000 = 0.2%.
    for value, weights in zip(found, ((1.0, 0.0), (0.0, 1.0)), strict=True):
        assert value == pytest.approx(penalty(sampled, *weights), abs=0.02)


def test_latents_with_the_moments_of_the_prior_cost_nothing():
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    white = losses(DIPI(), signs, 0 * signs, signs)["dip_loss"]
    aggregate = losses(DIPII(), 0.6 * signs, np.full((4, 2), np.log(0.64)), signs)["dip_loss"]
    assert white == 0
    assert aggregate == pytest.approx(0, abs=1e-9)


def test_defaults_have_the_ratio_of_the_weights_of_the_literature():
    """10 for the first and 1 for the second, in the unsupervised study of disentanglement_lib."""
    assert [(k().lambda_od, k().lambda_d) for k in (DIPI, DIPII)] == [(10, 100), (10, 10)]


def test_latents_off_the_real_line_are_refused():
    class OnSphere(DiagonalNormalPosterior):
        support = "sphere"

    class PriorOnSphere:
        support = "sphere"

        def __call__(self, model, condition):
            return jnp.zeros(0)

    network = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"OnSphere has latents of support 'sphere', and .* DIPI"):
        VAE(network, network, 2, posterior=OnSphere(), prior=PriorOnSphere(), objective=DIPI(),
            rngs=nnx.Rngs(0))  # fmt: skip
