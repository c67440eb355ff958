"""What posteriors of flows share."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections import Bijection
from workshop.generative_models.core.distributions import DiagonalNormal, Transformed

LARGEST = 1e4
"""Limit of features that are parameters of a flow, so that their products stay finite."""


def flowing(features: Mapping[str, jax.Array], flow: Bijection) -> Transformed:
    """Return the distribution of f(z_0), with z_0 ~ N(μ, diag σ²)."""
    return Transformed(DiagonalNormal(features["mean"], features["log_var"]), flow)


def bounded(feature: jax.Array, *shape: int) -> jax.Array:
    """Return a feature (*batch, size) as (*batch, *shape), within ±1e4."""
    return jnp.clip(feature, -LARGEST, LARGEST).reshape(*feature.shape[:-1], *shape)
