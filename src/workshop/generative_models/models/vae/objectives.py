"""Objectives: the terms of the bound to the loss that training minimises."""

from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.components import KLScheduleName, check_schedule
from workshop.generative_models.core.metrics import NONE, Metric
from workshop.generative_models.core.pickling import Picklable
from workshop.generative_models.core.quantizers import code_counts
from workshop.generative_models.core.schedules import annealed, linear_ramp
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext, read

_REPORTED = ("commitment_loss", "codebook_loss", "perplexity", "codes_used")
_PENALTIES = ("orthogonal_loss", "diversity_loss", "entropy_loss")
"""Losses that only some quantizers have."""


class Objective(Picklable, nnx.Module):
    """What training minimises, given the terms of the bound.

    `VAE.loss_fn` itself computes `reconstruction_loss`, `kl_loss` and `elbo`, which mean the same
    under every objective.

    Attributes:
        samples: K, the number of samples of q(z|x) that the terms have.
        needs_density: whether it reads a KL or a density, which a point mass does not have.
        metrics: labels, units and directions of the losses that it adds, so that a trainer can
            monitor them.
    """

    samples: int = 1
    needs_density: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, Metric]] = NONE

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:
        """Return {"total_loss": what is minimised} and further losses by name.

        Every further scalar becomes a metric. "statistics" is given to
        `model.update_statistics` after the update; the gradient of "critic_loss" is taken too.

        Args:
            model: the model, for its networks.
            terms: of the batch.
            context: the training step, the size of the training set, a key.
        """
        raise NotImplementedError

    def critic_optimizer(self) -> optax.GradientTransformation | None:
        """Return the optimizer of the objective's `CriticParam`s; None: that of the trainer."""
        return None


def _weighted(weight: ArrayLike, term: jax.Array) -> jax.Array:
    """Return a term of the loss times its weight; 0 at a weight of 0, even if it is infinite."""
    return jnp.where(jnp.equal(weight, 0), 0.0, weight * term)


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
        beta = self.coefficient(context.step) if context.beta is None else context.beta
        beta = jnp.asarray(beta, jnp.float32)
        total = terms.reconstruction_loss + _weighted(beta, self._penalised(terms))
        return {"total_loss": total, "beta": beta}

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
        capacity_loss = _weighted(self.gamma, jnp.abs(difference))
        return losses | {
            "total_loss": terms.reconstruction_loss + capacity_loss,
            "current_capacity": capacity,
            "capacity_loss": capacity_loss,
            "kl_capacity_diff": difference,
        }


class Reconstruction(Objective):
    """L = -E_q(z|x)[log p(x|z)], without any penalty on the latents."""

    needs_density: ClassVar[bool] = False

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the reconstruction loss."""
        return {"total_loss": terms.reconstruction_loss}


class CodeObjective(Objective):
    """L = -log p(x|z_q) and what the quantizer adds: codebook, commitment and other losses.

    The KL to a uniform prior over codes is constant, and left out.

    References:
        van den Oord, Vinyals & Kavukcuoglu, Neural Discrete Representation Learning, NeurIPS 2017.
    """

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the loss, the quantizer's terms, and its statistics for the train step."""
        found = terms.inference.outputs
        rows = read(found, "encoding_indices").reshape(-1, model.usage.shape[0])
        return {
            "total_loss": terms.reconstruction_loss + read(found, "quantizer_loss"),
            **{name: read(found, name) for name in _REPORTED},
            **{name: found[name] for name in _PENALTIES if name in found},
            "statistics": {
                "usage": code_counts(rows, model.num_embeddings),
                "quantizer": found.get("statistics", {}),
            },
        }


OBJECTIVES: dict[str, type[Objective]] = {
    "elbo": ELBO,
    "capacity": Capacity,
    "reconstruction": Reconstruction,
}
"""The objectives by the `kind` of their configuration."""
