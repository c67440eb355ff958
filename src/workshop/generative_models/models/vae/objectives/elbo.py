"""The evidence lower bound, with a weight of the KL and free bits."""

from typing import Any, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.objectives import KLScheduleName, check_schedule
from workshop.generative_models.core.schedules import annealed
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective, weighted


class ELBO(Objective):
    r"""L = -E_q(z|x)[log p(x|z)] + β(t) Σ_j max(KL_j, λ), KL_j the batch's mean KL of latent j.

    With β = 1 and λ = 0 this is minus the evidence lower bound.

    Args:
        weight: β, the weight of the KL.
        schedule: how the weight rises from 0: "constant" (it does not), "linear", "sigmoid" or
            "cyclical"; see `core.schedules.annealed`.
        schedule_steps: training steps in which it rises.
        free_bits: λ, nats that each latent may use before its KL is penalised.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014; Higgins et al., β-VAE, ICLR
        2017; Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow,
        NeurIPS 2016 (free bits).
    """

    def __init__(
        self,
        weight: float = 1.0,
        schedule: str = "constant",
        schedule_steps: int = 0,
        free_bits: float = 0.0,
    ):
        self.weight = checks.at_least("kl_weight", weight, 0.0)
        self.free_bits = checks.at_least("free_bits", free_bits, 0.0)
        self.schedule = checks.one_of("kl_schedule", schedule, get_args(KLScheduleName))
        check_schedule("kl_schedule", schedule, schedule_steps)
        self.schedule_steps = int(checks.at_least("kl_schedule_steps", schedule_steps, 0))

    def coefficient(self, step: ArrayLike | None) -> jax.Array:
        """Return β at a training step; None is after the schedule."""
        return annealed(self.schedule, self.weight, self.schedule_steps, step)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the weighted bound, and `beta`, the weight."""
        penalty, beta = self.penalty(terms, context)
        return {"total_loss": terms.reconstruction_loss + penalty, "beta": beta}

    def penalty(self, terms: BoundTerms, context: LossContext) -> tuple[jax.Array, jax.Array]:
        """Return the KL's part of the loss, and its weight."""
        beta = self.coefficient(context.step) if context.beta is None else context.beta
        beta = jnp.asarray(beta, jnp.float32)
        return weighted(beta, self._penalised(terms)), beta

    def _penalised(self, terms: BoundTerms) -> jax.Array:
        """Return the mean KL, no latent's below the free bits."""
        each = terms.inference.kl().mean(0)
        if not self.free_bits:
            return each.sum()
        if each.ndim == 0:
            raise ValueError(
                f"free_bits={self.free_bits} are nats of each latent, but the KL of this posterior "
                "and prior is not a sum over latents: leave free_bits out"
            )
        return jnp.maximum(each, self.free_bits).sum()
