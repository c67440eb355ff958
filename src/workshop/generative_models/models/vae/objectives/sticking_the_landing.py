"""The importance-weighted bound without the score of q(z|x)."""

from typing import Any, ClassVar

import jax.numpy as jnp

from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.importance import (
    log_mean,
    losses_of,
    path_log_weights,
)
from workshop.generative_models.models.vae.objectives.iwae import IWAE


class StickingTheLanding(IWAE):
    r"""L = -log 1/K Σ_k w_k, with the gradient of log q(z|x) taken through z alone.

    With K = 1 this is the ELBO. What is left out is the score, the gradient of log q(z|x) at a
    fixed z, whose expectation is 0: the gradient has the ELBO's expectation, and none of its noise
    where q(z|x) is the true posterior. With K > 1 the encoder's gradient is biased (Tucker et al.
    2019, section 4); `DReG` is not.

    Args:
        samples: K.

    References:
        Roeder, Wu & Duvenaud, Sticking the Landing: Simple, Lower-Variance Gradient Estimators for
        Variational Inference, NeurIPS 2017. Checked against "stl" in dreg_estimators/model.py of
        google-research.
    """

    needs_log_prob: ClassVar[bool] = True

    def __init__(self, samples: int = 1):
        super().__init__(samples)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return minus the bound, and `effective_samples`."""
        log_w = path_log_weights(terms)
        return losses_of(-jnp.mean(log_mean(log_w)), log_w)
