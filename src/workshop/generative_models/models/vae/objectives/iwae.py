"""The importance-weighted bound."""

from typing import Any

import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective
from workshop.generative_models.models.vae.objectives.importance import (
    log_mean,
    log_weights,
    losses_of,
)


class IWAE(Objective):
    r"""L = -log 1/K Σ_k w_k,  w_k = p(x, z_k) / q(z_k|x),  z_k ~ q(z|x).

    The bound rises with K from the ELBO, of which K = 1 is the estimate by one sample, to log p(x).
    It is that of `evaluation.bounds.importance_weighted_bound`. All K samples are decoded in one
    call. `effective_samples`, (Σ w)² / Σ w², is near 1 where one sample outweighs the others.

    Args:
        samples: K.

    References:
        Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, ICLR 2016. Checked against
        `pythae.models.IWAE`, whose loss Σ_k w̃_k log w_k, with constant normalised weights w̃, has
        the same gradient and another value.

    Examples:
        >>> import jax
        >>> from flax import nnx
        >>> from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
        >>> rngs = nnx.Rngs(0)
        >>> vae = VAE(MLPEncoder([8], 2, "relu", (5,), rngs=rngs),
        ...           MLPDecoder([8], (5,), 2, rngs=rngs), 2, objective=IWAE(10), rngs=rngs)
        >>> losses = vae.loss_fn(batch=jnp.ones((3, 5)), rng=jax.random.key(0))
        >>> bool(1 <= losses["effective_samples"] <= 10)
        True
    """

    def __init__(self, samples: int = 50):
        self.samples = checks.positive_int("samples", samples)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return minus the bound, and `effective_samples`."""
        log_w = log_weights(terms)
        return losses_of(-jnp.mean(log_mean(log_w)), log_w)
