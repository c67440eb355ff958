"""Bounds on log p(x) and estimates of it, in nats per example.

From the loosest to the strictest: `elbo`, `importance_weighted_bound`,
`annealed_importance_sampling`. Under a density they compare models of the same data in the same
units; `mse` is no normalised density, and compares only with itself.
`core.likelihoods.bits_per_dim` gives them in bits per dimension.
"""

from workshop.generative_models.evaluation.bounds.annealing import (
    annealed_importance_sampling,
    annealed_log_weights,
)
from workshop.generative_models.evaluation.bounds.importance import (
    importance_sampling,
    importance_weighted_bound,
)
from workshop.generative_models.evaluation.bounds.scale import fix_scale, has_moving_scale
from workshop.generative_models.evaluation.bounds.terms import elbo, elbo_terms

__all__ = [
    "annealed_importance_sampling",
    "annealed_log_weights",
    "elbo",
    "elbo_terms",
    "fix_scale",
    "has_moving_scale",
    "importance_sampling",
    "importance_weighted_bound",
]
