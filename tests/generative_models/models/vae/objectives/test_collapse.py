"""Methods against posterior collapse: their formulas, and a case that collapses without them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from handmade import KL, MEAN, RECONSTRUCTION, losses
from scipy.stats import norm

from workshop.generative_models.core.configuration import (
    DecoderConfig,
    DeltaConfig,
    EncoderConfig,
    MixtureConfig,
    VAEConfig,
)
from workshop.generative_models.core.configuration.objectives import MuForcingConfig
from workshop.generative_models.evaluation.latents.decomposition import mutual_information
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.objectives import MuForcing
from workshop.generative_models.models.vae.posteriors import DeltaPosterior
from workshop.generative_models.training import Trainer


def test_mu_forcing_asks_for_what_is_missing_to_the_margin():
    variance = 0.5 * MEAN.var(axis=0).sum()
    elbo = RECONSTRUCTION + KL.sum(1).mean()
    found = losses(MuForcing(variance + 2.0, 3.0))
    assert found["mu_variance"] == pytest.approx(variance, rel=1e-5)
    assert found["total_loss"] == pytest.approx(elbo + 6, rel=1e-5)
    assert losses(MuForcing(variance - 0.1, 3.0))["total_loss"] == pytest.approx(elbo, rel=1e-5)
    assert variance < KL.sum(1).mean(), "a bound on the KL"


@pytest.mark.parametrize("rate", [1e-3, 0.1, 5.0])
def test_the_kl_of_a_delta_posterior_is_at_least_its_rate(rate):
    m, s = np.meshgrid(np.linspace(-3, 3, 13), np.linspace(-8, 8, 17))
    posterior = DeltaPosterior(rate)

    def normal(m, s):
        q = posterior({"mean": m, "log_var": s})
        return q.mean, q.scale

    mean, scale = (
        np.float64(a) for a in jax.jit(normal)(*(jnp.asarray(a, jnp.float32) for a in (m, s)))
    )
    kl = 0.5 * (mean**2 + scale**2 - 1 - np.log(scale**2))
    # μ² is computed in float32 from numbers of the size of log σ², at most 12.
    np.testing.assert_allclose(kl, rate + 0.5 * np.maximum(m, 0), atol=2e-6)
    for limit in posterior.deviations:
        # KL(N(0, σ²) ‖ N(0, 1)) as an integral.
        z = np.linspace(-12 * limit, 12 * limit, 20_001)
        q = norm(0, limit).pdf(z)
        integral = np.trapezoid(q * (norm(0, limit).logpdf(z) - norm.logpdf(z)), z)
        assert integral == pytest.approx(rate, rel=1e-4)


def test_a_delta_posterior_has_finite_gradients_at_its_limits():
    def total(features):
        q = DeltaPosterior(0.1)(features)
        return (q.mean + q.log_var).sum()

    ends = jnp.array([[-100.0, 100.0, 0.0, -1e30, 1e30]])
    found = jax.jit(jax.grad(total))({"mean": -jnp.abs(ends), "log_var": ends})
    assert all(jnp.isfinite(g).all() for g in found.values())


def test_a_delta_posterior_is_refused_beside_another_prior():
    network = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    with pytest.raises(
        ValueError, match=r"DeltaPosterior is made for a StandardNormalPrior, .* a MixturePrior"
    ):
        VAE(network, network, 2, posterior=DeltaPosterior(), prior=MixtureConfig(components=2),
            rngs=nnx.Rngs(0))  # fmt: skip


def trained(**components):
    """Return the information in codes, the variance that reconstructions explain, and the KL.

    The variance of the data along the factor is 0.5, below that of the likelihood, 1: the best ELBO
    is that of a model which ignores its latents (Lucas et al., Don't Blame the ELBO, 2019).
    """
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(512, 1))
    x = factor * np.sqrt(0.5 / 5) + 0.05 * rng.normal(size=(512, 5))
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=[8], latent_dim=2, input_shape=[5], activation="tanh"),
        decoder=DecoderConfig(
            hidden_dims=[8], latent_dim=2, output_shape=[5], activation="tanh",
            output_activation="identity",
        ),
        likelihood="gaussian",
        **components,
    )  # fmt: skip
    model = VAE(config, rngs=nnx.Rngs(0))
    x = x.astype(np.float32)
    rows = Trainer(model, optax.adam(1e-2), batch_size=128, progress=False).fit(x, steps=600)
    mean, log_var = (np.asarray(a) for a in model.encode(x))
    told = mutual_information(mean, log_var).value
    errors = np.square(x - np.asarray(model.reconstruct(x)))
    return told, 1 - errors.mean() / x.var(0).mean(), rows[-1]["kl_loss"]


@pytest.mark.slow
def test_a_case_that_collapses_without_them():
    told, explained, kl = trained()
    assert told < 0.02
    assert explained < 0.02
    assert kl < 0.02
    for components in (
        {"objective": MuForcingConfig(margin=1.0)},
        {"posterior": DeltaConfig(rate=0.5)},
    ):
        told, explained, kl = trained(**components)
        assert told > 0.3
        assert explained > 0.3
        assert kl > 0.9
