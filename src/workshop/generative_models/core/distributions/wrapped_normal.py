"""Wrapped normal distributions on the Poincaré ball."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import (
    Leaf,
    MeanAndLogVar,
    normal_noise,
    widened,
)
from workshop.generative_models.core.distributions.diagonal_normal import DiagonalNormal
from workshop.generative_models.core.gaussian import PRNGKey
from workshop.generative_models.core.hyperbolic import exp_map, log_map, log_sinh_ratio


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class WrappedNormal(MeanAndLogVar):
    r"""N(0, diag σ²) at μ, wrapped onto the Poincaré ball of curvature -1 by the exponential map.

    z = exp_μ(v),  v ~ N(0, diag σ²)

    log p(z) = log N(v; 0, diag σ²) - (d - 1) log(sinh |v| / |v|),  v = log_μ(z)

    Tangent vectors are in orthonormal coordinates of the metric, so that |v| is the distance from μ
    to z. A density is one of the ball's own volume, (2 / (1 - |z|²))^d dz: with this and no other
    volume it integrates to one, and the difference of two log-densities is the same for all.

    Args:
        mean: μ, [*batch, d], of length below 1.
        log_var: log σ², of the same shape; clipped to [-20, 20].

    Raises:
        ValueError: if the shapes differ, when the distribution is used.

    References:
        Mathieu, Le Lan, Maddison, Tomioka & Teh, Continuous Hierarchical Representations with
        Poincaré Variational Auto-Encoders, NeurIPS 2019; Nagano, Yamaguchi, Fujita & Koyama, A
        Wrapped Normal Distribution on Hyperbolic Space, ICML 2019: the two agree.
        github.com/emilemathieu/pvae, `pvae/distributions/wrapped_normal.py`, has equal variances
        and a curvature c, which is this with σ √c.

    Example:
        >>> p = WrappedNormal(jnp.zeros((8, 2)), jnp.zeros((8, 2)))
        >>> z, log_p = p.sample_and_log_prob(jax.random.key(0), (5,))
        >>> z.shape, log_p.shape, bool((jnp.linalg.norm(z, axis=-1) < 1).all())
        ((5, 8, 2), (5, 8), True)
    """

    mean: Leaf
    log_var: Leaf

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        noise = normal_noise(key, shape, self.mean.dtype, temperature)
        return exp_map(self.mean, self.scale * noise)

    def _log_prob(self, z: jax.Array) -> jax.Array:
        return self._log_density(log_map(widened(self.mean), z))

    def _sample_and_log_prob(
        self, key: PRNGKey, shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        v = self.scale * normal_noise(key, shape, self.mean.dtype, 1.0)
        return exp_map(self.mean, v), self._log_density(v)

    def _log_density(self, v: jax.Array) -> jax.Array:
        flat = DiagonalNormal(jnp.zeros_like(self.mean), self.log_var).log_prob(v)
        square = jnp.square(v).sum(-1)
        zero = square == 0
        length = jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))
        return flat - (self.event_size - 1) * log_sinh_ratio(length)
