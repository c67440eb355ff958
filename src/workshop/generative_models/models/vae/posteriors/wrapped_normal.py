"""The wrapped normal posterior on the Poincaré ball."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.core.distributions import WrappedNormal
from workshop.generative_models.core.hyperbolic import exp_map
from workshop.generative_models.models.vae.posteriors.base import Posterior


class WrappedNormalPosterior(Posterior):
    """q(z|x) = exp_μ(v), v ~ N(0, diag σ²(x)), on the Poincaré ball of curvature -1.

    The feature "mean" is a tangent vector m at the centre, and μ = exp_0(m). Use it with the prior
    `WrappedNormalPrior` (--prior.kind wrapped_normal). A KL has no closed form, and is estimated
    with the samples.

    References:
        Mathieu, Le Lan, Maddison, Tomioka & Teh, Continuous Hierarchical Representations with
        Poincaré Variational Auto-Encoders, NeurIPS 2019; github.com/emilemathieu/pvae,
        `pvae/models/architectures.py`, whose encoder "Wrapped" this is, with σ = softplus in place
        of log σ².
    """

    support: ClassVar[str] = "ball"

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of m and log σ²."""
        return {"mean": latent_dim, "log_var": latent_dim}

    def __call__(self, features: Mapping[str, jax.Array]) -> WrappedNormal:
        """Return the wrapped normal distribution at exp_0(m)."""
        tangent = features["mean"]
        return WrappedNormal(exp_map(jnp.zeros_like(tangent), tangent), features["log_var"])
