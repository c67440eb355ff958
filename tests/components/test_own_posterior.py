"""A posterior of one's own, with a feature of its own, in everything that a model does."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from shared import live_through

from workshop.generative_models.core.configuration import PosteriorConfig
from workshop.generative_models.core.distributions import MixtureOfDiagonalNormals
from workshop.generative_models.models.vae.components import register
from workshop.generative_models.models.vae.posteriors import Posterior


class PairConfig(PosteriorConfig):
    kind: Literal["pair"] = "pair"


class Pair(Posterior):
    """½ N(μ + δ, σ²) + ½ N(μ - δ, σ²), whose KL has no closed form."""

    def features(self, latent_dim):
        return {"mean": latent_dim, "log_var": latent_dim, "delta": latent_dim}

    def __call__(self, features):
        mean, delta = features["mean"], features["delta"]
        means = jnp.stack([mean + delta, mean - delta], -2)
        log_vars = jnp.broadcast_to(features["log_var"][..., None, :], means.shape)
        return MixtureOfDiagonalNormals(jnp.zeros(means.shape[:-1]), means, log_vars)


def test_a_posterior_of_ones_own(tmp_path):
    register(PairConfig, Pair)
    model = live_through(tmp_path, posterior=PairConfig())
    x = jnp.zeros((3, 6))
    q, delta = model.q_z(x), model.features(x)["delta"]
    np.testing.assert_allclose(q.means[:, 0] - q.means[:, 1], 2 * delta, rtol=1e-5)
    np.testing.assert_allclose(q.mean, model.encode(x)[0], rtol=1e-5, atol=1e-6)
