"""The posterior of radial flows."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.core.bijections import Radial, Repeat
from workshop.generative_models.core.distributions import Transformed
from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.posteriors.flow import bounded, flowing

_LARGEST = 10.0
"""Limit of log α: a radius of 22,000."""


class RadialPosterior(Posterior):
    """q(z|x) of z = f_T ∘ … ∘ f_1 (z_0), f_t(z) = z + β_t (z - c_t) / (α_t + |z - c_t|).

    z_0 ~ N(μ(x), diag σ²(x)), and c, log α and β of every step are features of the encoder. See
    `core.bijections.Radial`.

    Args:
        flows: T, the number of steps.

    References:
        Rezende & Mohamed, Variational Inference with Normalizing Flows, ICML 2015;
        `vae_lin_nf_model.py` of Pythae, whose parameters do not depend on x.
    """

    def __init__(self, flows: int = 10):
        self.flows = checks.positive_int("flows", flows)

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ, log σ², and of c, log α and β of all steps."""
        sizes = {"mean": latent_dim, "log_var": latent_dim}
        numbers = {"flow_log_alpha": self.flows, "flow_beta": self.flows}
        return sizes | {"flow_centre": self.flows * latent_dim} | numbers

    def __call__(self, features: Mapping[str, jax.Array]) -> Transformed:
        """Return the distribution of z."""
        centre = bounded(features["flow_centre"], self.flows, features["mean"].shape[-1])
        log_alpha = jnp.clip(features["flow_log_alpha"], -_LARGEST, _LARGEST)
        beta = bounded(features["flow_beta"], self.flows)
        return flowing(features, Repeat(Radial(centre, log_alpha, beta)))
