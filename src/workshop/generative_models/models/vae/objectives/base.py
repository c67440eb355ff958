"""The base class of all objectives."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core.metrics import NONE, Metric
from workshop.generative_models.core.pickling import Picklable
from workshop.generative_models.models.vae.inference import BoundTerms, Group, LossContext


class Objective(Picklable, nnx.Module):
    """What training minimises, given the terms of the bound.

    `VAE.loss_fn` itself computes `reconstruction_loss`, `kl_loss` and `elbo`, which mean the same
    under every objective. A constructor may name latent_dim, event_shape (None if it is not known)
    and rngs, which a model passes on when it builds an objective from its configuration.

    Attributes:
        samples: K, the number of samples of q(z|x) that the terms have.
        needs_density: whether it reads a KL or a density, which a point mass does not have.
        needs_factors: whether it reads the density or the variance of each latent given x, for
            which the posterior must factorise.
        supports: the spaces of z that it is defined for.
        needs_log_prob: whether it reads log q(z|x) of any z, with `group.q.log_prob(z)`, which some
            posteriors know of their own samples alone.
        weighs_latents: whether it calls `inference.weighing`, which weighs the gradient through z.
        metrics: labels, units and directions of the losses that it adds, so that a trainer can
            monitor them.
    """

    samples: int = 1
    needs_density: ClassVar[bool] = True
    needs_factors: ClassVar[bool] = False
    supports: ClassVar[tuple[str, ...]] = ("real", "sphere", "ball")
    needs_log_prob: ClassVar[bool] = False
    weighs_latents: ClassVar[bool] = False
    metrics: ClassVar[Mapping[str, Metric]] = NONE

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:
        """Return {"total_loss": what is minimised} and further losses by name.

        Every further scalar becomes a metric. "statistics" is given to `update_statistics` after
        the update; the gradient of "critic_loss" is taken too.

        Args:
            model: the model, for its networks.
            terms: of the batch.
            context: the training step, the size of the training set, a key.
        """
        raise NotImplementedError

    def update_statistics(self, statistics: Any) -> None:
        """Fold a batch's "statistics" into state that gradients do not train; default: none."""

    def constrained(self, decoder: nnx.Module) -> nnx.Module:
        """Return the decoder with what the objective demands of its layers; default: as it is."""
        return decoder

    def critic_optimizer(self) -> optax.GradientTransformation | None:
        """Return the optimizer of the objective's `CriticParam`s; None: that of the trainer."""
        return None


def weighted(weight: ArrayLike, term: jax.Array) -> jax.Array:
    """Return a term of the loss times its weight; 0 at a weight of 0, even if it is infinite."""
    return jnp.where(jnp.equal(weight, 0), 0.0, weight * term)


def only_group(objective: Objective, terms: BoundTerms) -> Group:
    """Return the latents of a model that has one group of them; an error if it has others."""
    groups = terms.inference.groups
    if len(groups) != 1:
        raise ValueError(
            f"objective {type(objective).__name__} needs a model with one vector of latents, and "
            f"this one has {len(groups)} groups of them"
        )
    return groups[0]
