"""Importance-weighted bounds of different tightness for the encoder and the decoder."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.importance import (
    log_densities,
    log_mean,
    losses_of,
)
from workshop.generative_models.models.vae.objectives.miwae import MIWAE


class PIWAE(MIWAE):
    r"""The bound of `IWAE` with M · K samples for p(x, z), that of `MIWAE` for q(z|x).

        L_θ = -log 1/MK Σ_mk w_mk,  L_φ = -1/M Σ_m log 1/K Σ_k w_mk

    for the parameters θ of the decoder, the likelihood and the prior, and φ of the encoder and the
    posterior. A prior that reads the encoder trains it by L_θ, as a part of p(z). One pass through
    the decoder serves both.

    Args:
        samples: M · K, the samples of each example.
        groups: M.

    References:
        Rainforth et al., Tighter Variational Bounds are Not Necessarily Better, ICML 2018. Checked
        against `pythae.models.PIWAE`, which takes two passes back, and names the groups' number and
        size the other way round, as its MIWAE does.
    """

    weighs_latents: ClassVar[bool] = True

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return L_θ as the loss, `encoder_loss`, which is L_φ, and `effective_samples`."""
        log_joint, log_q = log_densities(terms)
        log_w = log_joint - log_q
        bounds = log_mean(self.grouped(log_w), axis=1)
        in_group = jax.nn.softmax(self.grouped(log_w), axis=1)
        # L_θ weighs sample k of group m by in_group · of_group, L_φ by in_group / M. Their ratio
        # must be finite, so that no group's share is less than what rounding leaves of a sum.
        of_group = jax.nn.softmax(bounds, axis=0)[:, None]
        of_group = jnp.maximum(of_group, jnp.finfo(log_w.dtype).eps)
        for_theta, for_phi, ratio = (
            jax.lax.stop_gradient(jnp.broadcast_to(w, in_group.shape)).reshape(log_w.shape)
            for w in (in_group * of_group, in_group / self.groups, 1 / (self.groups * of_group))
        )
        weighed = jnp.mean((for_phi * log_q - for_theta * log_joint).sum(0))
        total = -jnp.mean(log_mean(log_w))
        # The value is that of L_θ, the gradient that of the weighted terms.
        total = jax.lax.stop_gradient(total - weighed) + weighed + terms.inference.weighing(ratio)
        return losses_of(total, log_w) | {"encoder_loss": -jnp.mean(bounds)}
