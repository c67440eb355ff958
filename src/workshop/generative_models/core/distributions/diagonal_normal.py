"""Normal distributions with a diagonal covariance."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import (
    Leaf,
    MeanAndLogVar,
    normal_noise,
    widened,
)
from workshop.generative_models.core.gaussian import (
    PRNGKey,
    clip_log_var,
    from_noise,
    log_density,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class DiagonalNormal(MeanAndLogVar):
    """N(μ, diag σ²).

    log p(z) = -½ Σ_i (log 2π + log σ_i² + (z_i - μ_i)² / σ_i²)

    Args:
        mean: μ, [*batch, event].
        log_var: log σ², of the same shape; clipped to [-20, 20].

    Raises:
        ValueError: if the shapes differ, when the distribution is used.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014.

    Example:
        >>> q = DiagonalNormal(jnp.zeros((8, 2)), jnp.zeros((8, 2)))
        >>> z, log_q = q.sample_and_log_prob(jax.random.key(0), (5,))
        >>> z.shape, log_q.shape
        ((5, 8, 2), (5, 8))
    """

    factorises: ClassVar[bool] = True

    mean: Leaf
    log_var: Leaf

    @property
    def variance(self) -> jax.Array:
        """σ², [*batch, event]."""
        return jnp.exp(clip_log_var(self.log_var))

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        noise = normal_noise(key, shape, self.mean.dtype, temperature)
        return from_noise(self.mean, self.log_var, noise)

    def _log_prob_each(self, z: jax.Array) -> jax.Array:
        return log_density(*jnp.broadcast_arrays(z, widened(self.mean), widened(self.log_var)))

    def _sample_and_log_prob(
        self, key: PRNGKey, shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        noise = normal_noise(key, shape, self.mean.dtype, 1.0)
        log_var = clip_log_var(widened(self.log_var))
        zeros = jnp.zeros(shape, log_var.dtype)
        each = log_density(widened(noise), zeros, zeros) - 0.5 * log_var
        return from_noise(self.mean, self.log_var, noise), each.sum(-1)
