"""Normal distributions with a full covariance."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import (
    Distribution,
    Leaf,
    normal_noise,
    widened,
)
from workshop.generative_models.core.distributions.diagonal_normal import DiagonalNormal
from workshop.generative_models.core.distributions.divergence import register_kl
from workshop.generative_models.core.distributions.standard_normal import StandardNormal
from workshop.generative_models.core.gaussian import (
    PRNGKey,
    clip_log_var,
    log_density,
    standard_deviation,
)
from workshop.generative_models.core.linear_algebra import solve_triangular

LARGEST = 2.0**14
"""Limit of the entries of factors, near the largest standard deviation, exp(10)."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class FullNormal(Distribution):
    """N(μ, L Lᵀ), with L lower triangular and L_ii = exp(½ l_i).

    z = μ + L ε,  log p(z) = -½ (D log 2π + Σ_i l_i + |L⁻¹(z - μ)|²)

    Args:
        mean: μ, [*batch, event].
        log_diagonal: l, likewise, the logarithms of L_ii²; clipped to [-20, 20].
        off_diagonal: the entries of L below the diagonal by rows, [*batch, event (event - 1) / 2];
            clipped to ±16384.

    Raises:
        ValueError: if the shapes do not fit, when the distribution is used.

    References:
        Kingma & Welling, An Introduction to Variational Autoencoders, 2019, section 2.5.1;
        `multivariate_normal.py` and `kl.py` of torch.distributions.

    Example:
        >>> q = FullNormal(jnp.zeros(2), jnp.zeros(2), jnp.ones(1))
        >>> q.covariance.tolist()
        [[1.0, 1.0], [1.0, 2.0]]
    """

    mean: Leaf
    log_diagonal: Leaf
    off_diagonal: Leaf

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        shape = self.mean.shape
        pairs = (*shape[:-1], shape[-1] * (shape[-1] - 1) // 2) if shape else None
        if self.log_diagonal.shape != shape or self.off_diagonal.shape != pairs:
            raise ValueError(
                f"FullNormal: mean has shape {shape}, log_diagonal {self.log_diagonal.shape} and "
                f"off_diagonal {self.off_diagonal.shape}: expected (*batch, event) for two, and "
                "(*batch, event (event - 1) / 2)"
            )
        return shape[:-1]

    @property
    def event_size(self) -> int:
        """Size of the event axis."""
        return self.mean.shape[-1]

    @property
    def factor(self) -> jax.Array:
        """L, [*batch, event, event]."""
        size = self.event_size
        rows, columns = jnp.tril_indices(size, -1)
        off_diagonal = jnp.clip(widened(self.off_diagonal), -LARGEST, LARGEST)
        diagonal = standard_deviation(widened(self.log_diagonal))
        factor = jnp.zeros((*self.batch_shape, size, size), off_diagonal.dtype)
        factor = factor.at[..., rows, columns].set(off_diagonal)
        return factor + diagonal[..., None] * jnp.eye(size)

    @property
    def covariance(self) -> jax.Array:
        """L Lᵀ, [*batch, event, event]."""
        return jnp.einsum("...ik,...jk->...ij", self.factor, self.factor)

    @property
    def log_var(self) -> jax.Array:
        """Logarithms of the variances of the latents, [*batch, event]."""
        return jnp.log(jnp.square(self.factor).sum(-1))

    def _moved(self, noise: jax.Array) -> jax.Array:
        return self.mean + jnp.einsum("...ij,...j->...i", self.factor, noise)

    def _log_det(self) -> jax.Array:
        return 0.5 * clip_log_var(widened(self.log_diagonal)).sum(-1)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        noise = normal_noise(key, shape, self.mean.dtype, temperature)
        return self._moved(noise).astype(self.mean.dtype)

    def _log_prob(self, z: jax.Array) -> jax.Array:
        offset = z - widened(self.mean)
        noise = solve_triangular(self.factor, offset[..., None])[..., 0]
        return _log_standard(noise) - self._log_det()

    def _sample_and_log_prob(
        self, key: PRNGKey, shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        noise = normal_noise(key, shape, self.mean.dtype, 1.0)
        z = self._moved(noise).astype(self.mean.dtype)
        return z, _log_standard(widened(noise)) - self._log_det()


def _log_standard(noise: jax.Array) -> jax.Array:
    zeros = jnp.zeros_like(noise)
    return log_density(noise, zeros, zeros).sum(-1)


@register_kl(FullNormal, StandardNormal)
def _(q: FullNormal, p: StandardNormal) -> jax.Array:  # noqa: ARG001
    return _kl(q, widened(q.mean), q.factor, jnp.zeros(q.event_size))


@register_kl(FullNormal, DiagonalNormal)
def _(q: FullNormal, p: DiagonalNormal) -> jax.Array:
    log_var = clip_log_var(widened(p.log_var))
    narrow = jnp.exp(-0.5 * log_var)
    mean = (widened(q.mean) - widened(p.mean)) * narrow
    return _kl(q, mean, narrow[..., None] * q.factor, log_var)


def _kl(q: FullNormal, mean: jax.Array, factor: jax.Array, log_var: jax.Array) -> jax.Array:
    """Return ½ (tr Σ + |μ|² - D - log |Σ|) in units of p, whose log-variances are given."""
    log_ratio = clip_log_var(widened(q.log_diagonal)) - log_var
    diagonal = jnp.expm1(log_ratio) - log_ratio  # keeps its digits where q is near p
    off_diagonal = jnp.square(jnp.tril(factor, -1)).sum((-1, -2))
    return 0.5 * ((diagonal + jnp.square(mean)).sum(-1) + off_diagonal)
