"""The base class of objectives that compare images otherwise than by log p(x|z)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import weighted
from workshop.generative_models.models.vae.objectives.elbo import ELBO


class ImageDistance(ELBO):
    """L = c E_q(z|x)[Δ(x, E[x|z])] - α E_q(z|x)[log p(x|z)] + KL(q(z|x) ‖ p(z)).

    Subclasses define the distance Δ.

    Args:
        event_shape: shape of one image; None if it is not known.
        distance_weight: c.
        likelihood_weight: α.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "distance": Metric("distance of reconstructions", larger_is_better=False)
    }

    def __init__(
        self, event_shape: Sequence[int] | None, distance_weight: float, likelihood_weight: float
    ):
        super().__init__()
        self.distance_weight = checks.at_least("distance_weight", distance_weight, 0.0)
        self.likelihood_weight = checks.at_least("likelihood_weight", likelihood_weight, 0.0)
        if event_shape is not None and len(event_shape) != 3:
            raise ValueError(
                f"objective {type(self).__name__} compares images: examples of shape "
                f"{tuple(event_shape)} must have the shape (height, width, channels)"
            )

    def distance(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return Δ of two batches of images (n, height, width, channels), (n,)."""
        raise NotImplementedError

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the loss, and `distance`, the mean of Δ."""
        penalty, beta = self.penalty(terms, context)
        made = terms.reconstructed
        x = jnp.broadcast_to(terms.x, made.shape)
        distance = self.distance(*(each.reshape(-1, *made.shape[2:]) for each in (x, made))).mean()
        likelihood = weighted(self.likelihood_weight, terms.reconstruction_loss)
        total = weighted(self.distance_weight, distance) + likelihood + penalty
        return {"total_loss": total, "beta": beta, "distance": distance}
