"""The three parts of the KL, against a double loop and the evaluation's decomposition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from handmade import LOG_RATIO, LOG_VAR, MEAN, RECONSTRUCTION, SCALE, Z, losses
from scipy.stats import norm

from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.core.configuration.objectives import BetaTCConfig
from workshop.generative_models.core.distributions import MixtureOfDiagonalNormals
from workshop.generative_models.evaluation.latents import decomposition
from workshop.generative_models.evaluation.latents.decomposition import kl_decomposition
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.objectives import BetaTC
from workshop.generative_models.models.vae.posteriors import Posterior
from workshop.generative_models.training import Trainer

PARTS = ("mutual_information", "total_correlation", "dimension_wise_kl")
# Float32 sums of log-densities of up to about 30.
CLOSE = {"abs": 2e-5}


def weights(method, whole, size=6):
    """Return the weight of each q(z|x_j) in q(z) for the z of each example i (their appendix C)."""
    if method == "mws":
        return np.full((size, size), 1 / (whole * size))
    m = size - 1
    w = np.full((size, size), 1 / m)
    for i in range(size):
        w[i, i], w[i, (i + 1) % size] = 1 / whole, (whole - m) / (whole * m)
    return w


@pytest.mark.parametrize("method", ["mws", "mss"])
def test_parts_are_those_of_a_double_loop(method):
    w, parts = weights(method, 50), np.zeros((6, 3))
    for i in range(6):
        each = norm(MEAN, SCALE).pdf(Z[i])
        joint = w[i] @ each.prod(1)
        product = np.prod(w[i] @ each)
        parts[i] = np.log(
            [each[i].prod() / joint, joint / product, product / norm.pdf(Z[i]).prod()]
        )
    found = losses(BetaTC(2.0, 3.0, 5.0, method), num_examples=50)
    for name, part in zip(PARTS, parts.mean(0), strict=True):
        assert found[name] == pytest.approx(part, **CLOSE)
    assert sum(found[name] for name in PARTS) == pytest.approx(LOG_RATIO.mean(), **CLOSE)
    total = RECONSTRUCTION + parts.mean(0) @ [2, 3, 5]
    assert found["total_loss"] == pytest.approx(total, abs=2e-4)


@pytest.mark.parametrize("method", ["mws", "mss"])
def test_parts_of_the_whole_training_set_are_those_of_the_evaluation(method):
    mean, log_var = (jnp.asarray(a, jnp.float32) for a in (MEAN, LOG_VAR))
    order = decomposition._batches(6, method, None, 6, 4)[0][0]
    z = decomposition._draws(mean, log_var, jax.random.key(4))
    found = losses(BetaTC(sampling=method), mean[order], log_var[order], z[order], num_examples=6)
    expected = kl_decomposition(MEAN, LOG_VAR, method=method, batch_size=6, seed=4)
    exact = kl_decomposition(MEAN, LOG_VAR, seed=4)
    for name, logarithms in zip(PARTS, (1, 2 - 1, -2), strict=True):
        assert found[name] == pytest.approx(expected[name].value, **CLOSE)
        if method == "mws":  # 1/N² in place of 1/N, for q(z) and for each of two q(z_j)
            shift = logarithms * np.log(6)
            assert found[name] - shift == pytest.approx(exact[name].value, **CLOSE)


def test_the_trainer_says_how_many_examples_there_are():
    """At weighted sampling N is only in the constants, so that it can be read off a metric."""
    x = np.zeros((12, 4), np.float32)
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=[4], latent_dim=2, input_shape=[4]),
        decoder=DecoderConfig(hidden_dims=[4], latent_dim=2, output_shape=[4]),
        objective=BetaTCConfig(),
    )
    model = VAE(config, rngs=nnx.Rngs(0))
    rows = Trainer(model, batch_size=3, progress=False).fit(x, steps=1)
    # All q(z|x) are alike: q(z) is M q(z|x) / (N M), the information is log N.
    assert rows[-1]["mutual_information"] == pytest.approx(np.log(12), **CLOSE)
    with pytest.raises(ValueError, match=r"pass loss_fn\(..., num_examples=N\)"):
        model.loss_fn(batch=x)


def test_batches_of_any_size_have_finite_losses_and_gradients():
    def gradient(scale, size, method):
        def loss(scale):
            arrays = (jnp.asarray(a[:size], jnp.float32) * scale for a in (MEAN, LOG_VAR, Z))
            return losses(BetaTC(sampling=method), *arrays, jit=False, num_examples=2)["total_loss"]

        return jax.grad(loss)(scale)

    for size, method in ((1, "mss"), (1, "mws"), (3, "mss")):
        found = jax.jit(gradient, static_argnums=(1, 2))(jnp.ones(()), size, method)
        assert jnp.isfinite(found), (size, method)


class Pair(Posterior):
    """½ N(μ, I) + ½ N(-μ, I)."""

    def features(self, latent_dim):
        return {"mean": latent_dim}

    def __call__(self, features):
        means = jnp.stack([features["mean"], -features["mean"]], -2)
        return MixtureOfDiagonalNormals(jnp.zeros(means.shape[:-1]), means, jnp.zeros_like(means))


def test_a_posterior_that_does_not_factorise_is_refused():
    network = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"posterior Pair does not factorise.* objective BetaTC"):
        VAE(network, network, 2, posterior=Pair(), objective=BetaTC(), rngs=nnx.Rngs(0))
