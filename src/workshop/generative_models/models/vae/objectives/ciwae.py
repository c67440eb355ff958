"""A convex combination of the ELBO and the importance-weighted bound."""

from typing import Any

import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.importance import (
    log_mean,
    log_weights,
    losses_of,
)
from workshop.generative_models.models.vae.objectives.iwae import IWAE


class CIWAE(IWAE):
    r"""L = -β 1/K Σ_k log w_k - (1 - β) log 1/K Σ_k w_k, both of the same samples.

    Args:
        samples: K.
        beta: β, from 0 (IWAE) to 1 (the ELBO).

    References:
        Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, ICML 2018. Checked
        against `pythae.models.CIWAE`.
    """

    def __init__(self, samples: int = 64, beta: float = 0.5):
        super().__init__(samples)
        self.beta = checks.at_least("beta", beta, 0.0)
        if self.beta > 1:
            raise ValueError(f"beta={beta}: expected a share of the ELBO, 0 <= beta <= 1")

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return minus the combination, and `effective_samples`."""
        log_w = log_weights(terms)
        elbo, bound = log_w.mean(0), log_mean(log_w)
        return losses_of(-jnp.mean(self.beta * elbo + (1 - self.beta) * bound), log_w)
