"""The mean of several importance-weighted bounds."""

from typing import Any

import jax
import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.objectives import check_groups
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.importance import (
    log_mean,
    log_weights,
    losses_of,
)
from workshop.generative_models.models.vae.objectives.iwae import IWAE


class MIWAE(IWAE):
    r"""L = -1/M Σ_m log 1/K Σ_k w_mk, the mean over M groups of K samples each.

    One group is IWAE; groups of one sample are the ELBO.

    Args:
        samples: M · K, the samples of each example.
        groups: M.

    References:
        Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, ICML 2018. Checked
        against `pythae.models.MIWAE`, which names the groups' number and size the other way round:
        its `number_samples` is M, and `number_gradient_estimates` is K.
    """

    def __init__(self, samples: int = 64, groups: int = 8):
        super().__init__(samples)
        self.groups = checks.positive_int("groups", groups)
        check_groups(self.samples, self.groups)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return minus the mean of the bounds, and `effective_samples` of all samples."""
        log_w = log_weights(terms)
        return losses_of(-jnp.mean(log_mean(self.grouped(log_w), axis=1)), log_w)

    def grouped(self, log_w: jax.Array) -> jax.Array:
        """Return log w (M · K, B) as (M, K, B)."""
        return log_w.reshape(self.groups, -1, *log_w.shape[1:])
