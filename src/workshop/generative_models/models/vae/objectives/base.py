"""The interface of objectives."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core.pickling import Picklable
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext


class Objective(Picklable, nnx.Module):
    """What training minimises, given the terms of the bound.

    `VAE.loss_fn` itself computes `reconstruction_loss`, `kl_loss` and `elbo`, which mean the same
    under every objective.

    Attributes:
        samples: K, the number of samples of q(z|x) that the terms have.
        needs_density: whether it reads a KL or a density, which a point mass has not.
    """

    samples: int = 1
    needs_density: ClassVar[bool] = True

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


def weighted(weight: ArrayLike, term: jax.Array) -> jax.Array:
    """Return a term of the loss times its weight; 0 at a weight of 0, even if it is infinite."""
    return jnp.where(jnp.equal(weight, 0), 0.0, weight * term)
