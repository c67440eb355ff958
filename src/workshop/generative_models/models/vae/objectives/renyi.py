"""The variational Rényi bound."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.importance import (
    log_mean,
    log_weights,
    losses_of,
)
from workshop.generative_models.models.vae.objectives.iwae import IWAE


class Renyi(IWAE):
    r"""L = -1/(1 - α) log 1/K Σ_k w_k^(1-α).

    α = 0 is IWAE, α = 1 the ELBO. As α falls towards -∞ the largest weight alone counts, the
    paper's VR-max; a large negative number such as -1000 gives it. With K = 1 every α is the ELBO.
    For α < 0 this is no lower bound on log p(x) where K is large.

    Args:
        samples: K.
        alpha: α, the order of the divergence.

    References:
        Li & Turner, Rényi Divergence Variational Inference, NeurIPS 2016. Checked against
        models/vae.py of YingzhenLi/vae_renyi_divergence, which takes α within 0.01 of 1 as 1.
    """

    def __init__(self, samples: int = 5, alpha: float = 0.5):
        super().__init__(samples)
        if not math.isfinite(alpha):
            raise ValueError(f"alpha={alpha!r}: expected a finite number, such as -1000 for VR-max")
        self.alpha = alpha

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return minus the bound, and `effective_samples` of the weights w."""
        log_w = log_weights(terms)
        return losses_of(-jnp.mean(self.bound(log_w)), log_w)

    def bound(self, log_w: jax.Array) -> jax.Array:
        """Return the bound of each example, (B,), from log w, (K, B)."""
        order = 1 - self.alpha
        if order == 0:
            return log_w.mean(0)
        # Beside the weight that counts most, whose power would overflow for a large α.
        most = jax.lax.stop_gradient(log_w.max(0) if order > 0 else log_w.min(0))
        return most + log_mean(order * (log_w - most)) / order
