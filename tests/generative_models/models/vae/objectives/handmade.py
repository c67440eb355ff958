"""Terms of the bound made by hand: 6 examples of a Gaussian posterior with 2 latents."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from workshop.generative_models.core.distributions import DiagonalNormal, PointMass, StandardNormal
from workshop.generative_models.models.vae.inference import (
    BoundTerms,
    Group,
    Inference,
    LossContext,
)

_rng = np.random.default_rng(0)
MEAN, LOG_VAR = _rng.normal(size=(6, 2)), _rng.normal(size=(6, 2)) - 1
SCALE = np.exp(0.5 * LOG_VAR)
Z = MEAN + SCALE * _rng.normal(size=(6, 2))
LOG_LIKELIHOOD = _rng.normal(size=6) - 5
RECONSTRUCTION = -LOG_LIKELIHOOD.mean()
KL = 0.5 * (SCALE**2 + MEAN**2 - 1 - LOG_VAR)
"""KL(q(z|x) ‖ N(0, 1)) of each latent in closed form."""
LOG_RATIO = (norm(MEAN, SCALE).logpdf(Z) - norm.logpdf(Z)).sum(1)
"""log q(z|x) - log p(z) of each sample."""


def losses(
    objective: Any, mean: Any = MEAN, log_var: Any = LOG_VAR, z: Any = Z,
    *, point: bool = False, jit: bool = True, **context: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return what an objective makes of these latents and LOG_LIKELIHOOD."""

    def of(mean: jax.Array, log_var: jax.Array, z: jax.Array, context: Any) -> dict[str, Any]:
        q, p = PointMass(z) if point else DiagonalNormal(mean, log_var), StandardNormal(2)
        ones = None if point else q.log_prob(z)[None], None if point else p.log_prob(z)[None]
        inference = Inference(z[None], *ones, (Group(q, p, z[None], *ones),))
        likelihood = jnp.resize(jnp.asarray(LOG_LIKELIHOOD, jnp.float32), (1, len(z)))
        terms = BoundTerms(jnp.zeros((len(z), 4)), likelihood, inference, {})
        return objective(None, terms, LossContext(**context))

    arrays = (jnp.asarray(a, jnp.float32) for a in (mean, log_var, z))
    return (jax.jit(of) if jit else of)(*arrays, context)
