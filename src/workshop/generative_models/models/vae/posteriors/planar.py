"""The posterior of planar flows."""

from collections.abc import Mapping

import jax

from workshop.generative_models.core import checks
from workshop.generative_models.core.bijections import Planar, Repeat
from workshop.generative_models.core.distributions import Transformed
from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.posteriors.flow import bounded, flowing


class PlanarPosterior(Posterior):
    """q(z|x) of z = f_T ∘ … ∘ f_1 (z_0), f_t(z) = z + û_t tanh(w_tᵀz + b_t).

    z_0 ~ N(μ(x), diag σ²(x)), and u, w and b of every step are features of the encoder. See
    `core.bijections.Planar`.

    Args:
        flows: T, the number of steps.

    References:
        Rezende & Mohamed, Variational Inference with Normalizing Flows, ICML 2015; `models/VAE.py`
        of riannevdberg/sylvester-flows (parameters by the encoder).
    """

    def __init__(self, flows: int = 10):
        self.flows = checks.positive_int("flows", flows)

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ, log σ², and of u, w and b of all steps."""
        each = self.flows * latent_dim
        sizes = {"mean": latent_dim, "log_var": latent_dim}
        return sizes | {"flow_u": each, "flow_w": each, "flow_b": self.flows}

    def __call__(self, features: Mapping[str, jax.Array]) -> Transformed:
        """Return the distribution of z."""
        size = features["mean"].shape[-1]
        u, w = (bounded(features[name], self.flows, size) for name in ("flow_u", "flow_w"))
        b = bounded(features["flow_b"], self.flows)
        return flowing(features, Repeat(Planar(u, w, b)))
