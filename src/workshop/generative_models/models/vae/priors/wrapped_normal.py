"""The wrapped normal prior on the Poincaré ball."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import WrappedNormal
from workshop.generative_models.models.vae.priors.base import Prior


class WrappedNormalPrior(Prior):
    """p(z) = exp_0(v), v ~ N(0, σ² I): a wrapped normal at the centre of the Poincaré ball.

    The ball has curvature -1. In one of curvature -c this would be σ √c: a larger scale spreads
    latents over more of the ball's branches.

    Args:
        latent_dim: size of z.
        scale: σ, above 0, as a distance.
        rngs: not used; priors with parameters are given it.

    References:
        Mathieu, Le Lan, Maddison, Tomioka & Teh, Continuous Hierarchical Representations with
        Poincaré Variational Auto-Encoders, NeurIPS 2019; github.com/emilemathieu/pvae, whose
        defaults are c = 1 and σ = 1.
    """

    support: ClassVar[str] = "ball"

    def __init__(self, latent_dim: int, scale: float = 1.0, *, rngs: Any = None):  # noqa: ARG002
        self.latent_dim = latent_dim
        self.scale = checks.at_least("scale", scale, 1e-4)

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> WrappedNormal:  # noqa: ARG002
        """Return the distribution at the centre."""
        centre = jnp.zeros(self.latent_dim)
        return WrappedNormal(centre, jnp.full_like(centre, 2 * math.log(self.scale)))
