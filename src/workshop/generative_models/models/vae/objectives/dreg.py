"""The doubly reparameterised gradient of the importance-weighted bound."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.importance import (
    log_mean,
    losses_of,
    path_log_weights,
)
from workshop.generative_models.models.vae.objectives.iwae import IWAE


class DReG(IWAE):
    r"""The bound of `IWAE`, with a gradient of less variance for the encoder.

    With w̃_k = w_k / Σ_l w_l, for the parameters φ of q(z|x) and θ of p(x, z):

        ∇_φ log 1/K Σ_k w_k ≈ Σ_k w̃_k² (∂ log w_k / ∂z_k) (∂z_k / ∂φ),
        ∇_θ log 1/K Σ_k w_k = Σ_k w̃_k ∇_θ log p(x, z_k).

    The first has the expectation of IWAE's. Its signal-to-noise ratio rises with K, where that of
    IWAE falls. One pass through the decoder serves both. With K = 1 this is `StickingTheLanding`.

    Args:
        samples: K.

    References:
        Tucker, Lawson, Gu & Maddison, Doubly Reparameterized Gradient Estimators for Monte Carlo
        Objectives, ICLR 2019. Checked against "dreg" in dreg_estimators/model.py of
        google-research.
    """

    needs_log_prob: ClassVar[bool] = True
    weighs_latents: ClassVar[bool] = True

    def __init__(self, samples: int = 64):
        super().__init__(samples)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return minus the bound, and `effective_samples`."""
        log_w = path_log_weights(terms)
        # The gradient of the bound has one factor w̃ already; z gets the other.
        squaring = terms.inference.weighing(jax.nn.softmax(log_w, axis=0))
        return losses_of(squaring - jnp.mean(log_mean(log_w)), log_w)
