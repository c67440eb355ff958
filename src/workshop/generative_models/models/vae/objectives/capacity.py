"""A KL that follows a capacity."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.schedules import linear_ramp
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import weighted
from workshop.generative_models.models.vae.objectives.elbo import ELBO


class Capacity(ELBO):
    r"""L = -E_q(z|x)[log p(x|z)] + γ |KL(q(z|x) ‖ p(z)) - C(t)|, C(t) = min(C_max, C_max · t / T).

    Args:
        capacity_max: C_max, in nats.
        capacity_num_iter: T, in training steps.
        gamma: γ.
        weight: β, which is reported and not used.
        schedule: of β.
        schedule_steps: of β.

    References:
        Burgess et al., Understanding disentangling in β-VAE, 2018.
    """

    def __init__(
        self,
        capacity_max: float = 25.0,
        capacity_num_iter: int = 25000,
        gamma: float = 1000.0,
        weight: float = 1.0,
        schedule: str = "constant",
        schedule_steps: int = 0,
    ):
        super().__init__(weight, schedule, schedule_steps)
        self.capacity_max = checks.at_least("capacity_max", capacity_max, 0.0)
        self.capacity_num_iter = checks.positive_int("capacity_num_iter", capacity_num_iter)
        self.gamma = checks.at_least("gamma", gamma, 0.0)

    def capacity(self, step: ArrayLike | None) -> jax.Array:
        """Return C at a training step; None is after it has grown."""
        return linear_ramp(self.capacity_max, self.capacity_num_iter, step)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:
        """Return the loss with the KL's distance from the capacity."""
        losses = super().__call__(model, terms, context)
        capacity = self.capacity(context.step)
        difference = terms.inference.kl().mean(0).sum() - capacity
        capacity_loss = weighted(self.gamma, jnp.abs(difference))
        return losses | {
            "total_loss": terms.reconstruction_loss + capacity_loss,
            "current_capacity": capacity,
            "capacity_loss": capacity_loss,
            "kl_capacity_diff": difference,
        }
