"""The posterior of a Householder flow."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.bijections import Householder
from workshop.generative_models.core.distributions import Transformed
from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.posteriors.flow import bounded, flowing


class HouseholderPosterior(Posterior):
    """q(z|x) of z = H_T … H_1 z_0, with H_t = I - 2 v_t v_tᵀ / |v_t|².

    z_0 ~ N(μ(x), diag σ²(x)); v_1 is a feature of the encoder, and v_t a linear function of
    v_{t-1}. So q(z|x) is a Gaussian with a full covariance; the KL to N(0, I), which a rotation
    does not change, is exact.

    Args:
        latent_dim: size of z.
        flows: T, the number of reflections.
        rngs: for the initial weights.

    References:
        Tomczak & Welling, Improving Variational Auto-Encoders using Householder Flow, 2016;
        `models/vae_HF.py` of jmtomczak/vae_householder_flow.
    """

    def __init__(self, latent_dim: int, flows: int = 10, *, rngs: nnx.Rngs | None = None):
        if rngs is None:
            raise ValueError("HouseholderPosterior(rngs=None): pass rngs for the initial weights")
        self.flows = checks.positive_int("flows", flows)
        self.layers = nnx.List(
            nnx.Linear(latent_dim, latent_dim, rngs=rngs) for _ in range(self.flows - 1)
        )

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ, log σ² and v_1."""
        return {"mean": latent_dim, "log_var": latent_dim, "flow_v": latent_dim}

    def __call__(self, features: Mapping[str, jax.Array]) -> Transformed:
        """Return the distribution of z."""
        vectors = [bounded(features["flow_v"], 1, features["mean"].shape[-1])]
        for layer in self.layers:
            vectors.append(layer(vectors[-1]))
        # The first of the vectors is that of the last factor.
        return flowing(features, Householder(jnp.concatenate(vectors[::-1], axis=-2)))
