"""A prior of one's own, with parameters and a configuration, in everything that a model does."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from shared import live_through

from workshop.generative_models.core.configuration import LatentPriorConfig
from workshop.generative_models.core.distributions import DiagonalNormal
from workshop.generative_models.models.vae.components import register
from workshop.generative_models.models.vae.priors import Prior


class ShiftedConfig(LatentPriorConfig):
    kind: Literal["shifted"] = "shifted"
    start: float = 0.0


class Shifted(Prior):
    """N(m, I), with m learned."""

    def __init__(self, latent_dim, start, *, rngs):
        self.m = nnx.Param(jnp.full(latent_dim, start))

    def __call__(self, model, condition):
        return DiagonalNormal(self.m[...], jnp.zeros_like(self.m[...]))


def test_a_prior_of_ones_own(tmp_path):
    register(ShiftedConfig, Shifted)
    model = live_through(tmp_path, prior=ShiftedConfig(start=4.0))
    assert (model.prior.m[...] != 4).all(), "it is trained"
    z = np.ones((1, 2), np.float32)
    expected = -0.5 * (2 * np.log(2 * np.pi) + np.square(1 - model.prior.m[...]).sum())
    np.testing.assert_allclose(model.log_prior(z), [expected], rtol=1e-5)
