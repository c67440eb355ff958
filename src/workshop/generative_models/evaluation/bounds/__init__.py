"""Bounds on log p(x) and estimates of it, in nats per example, from the loosest to the strictest.

Under a density they compare models of the same data in the same units; `mse` is no normalised
density, and compares only with itself.
"""

from .annealing import annealed_importance_sampling, annealed_log_weights
from .importance import importance_sampling, importance_weighted_bound
from .terms import elbo, elbo_terms, fix_scale
from .weighing import has_moving_scale

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
