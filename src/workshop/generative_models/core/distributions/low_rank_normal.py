"""Normal distributions with a covariance of low rank beside a diagonal."""

import dataclasses
import math

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
from workshop.generative_models.core.distributions.full_normal import LARGEST
from workshop.generative_models.core.distributions.standard_normal import StandardNormal
from workshop.generative_models.core.gaussian import (
    PRNGKey,
    clip_log_var,
    standard_deviation,
)
from workshop.generative_models.core.linear_algebra import cholesky, solve_triangular


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class LowRankNormal(Distribution):
    """N(μ, diag σ² + U Uᵀ).

    With A = diag(1/σ) U and C = I + Aᵀ A, of the size of the rank,

        z = μ + σ ⊙ ε + U η,  log |Σ| = Σ_i log σ_i² + log |C|,
        (z - μ)ᵀ Σ⁻¹ (z - μ) = min_η |(z - μ) / σ - A η|² + |η|².

    The minimum is at η = C⁻¹ Aᵀ (z - μ) / σ; unlike Woodbury's formula it subtracts no large
    numbers from each other.

    Args:
        mean: μ, [*batch, event].
        log_scale: log σ², likewise; clipped to [-20, 20].
        factor: U, [*batch, event, rank]; clipped to ±16384.

    Raises:
        ValueError: if the shapes do not fit, when the distribution is used.

    References:
        Rezende, Mohamed & Wierstra, Stochastic Backpropagation, ICML 2014, section 4.3 (rank 1);
        Ong, Nott & Smith, Gaussian Variational Approximation with a Factor Covariance Structure,
        2018; `lowrank_multivariate_normal.py` of torch.distributions.

    Example:
        >>> q = LowRankNormal(jnp.zeros(2), jnp.zeros(2), jnp.ones((2, 1)))
        >>> q.covariance.tolist()
        [[2.0, 1.0], [1.0, 2.0]]
    """

    mean: Leaf
    log_scale: Leaf
    factor: Leaf

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        shape = self.mean.shape
        if not self.log_scale.shape == self.factor.shape[:-1] == shape != ():
            raise ValueError(
                f"LowRankNormal: mean has shape {shape}, log_scale {self.log_scale.shape} and "
                f"factor {self.factor.shape}: expected (*batch, event) for two, and "
                "(*batch, event, rank)"
            )
        return shape[:-1]

    @property
    def event_size(self) -> int:
        """Size of the event axis."""
        return self.mean.shape[-1]

    @property
    def covariance(self) -> jax.Array:
        """Diag σ² + U Uᵀ, [*batch, event, event]."""
        variances = jnp.exp(clip_log_var(widened(self.log_scale)))
        products = jnp.einsum("...ik,...jk->...ij", self._bounded, self._bounded)
        return products + variances[..., None] * jnp.eye(self.event_size)

    @property
    def log_var(self) -> jax.Array:
        """Logarithms of the variances of the latents, [*batch, event]."""
        variances = jnp.exp(clip_log_var(widened(self.log_scale)))
        return jnp.log(variances + jnp.square(self._bounded).sum(-1))

    @property
    def _bounded(self) -> jax.Array:
        return jnp.clip(widened(self.factor), -LARGEST, LARGEST)

    def _relative(self) -> tuple[jax.Array, jax.Array]:
        """Return A, and the Cholesky factor of C."""
        relative = self._bounded / standard_deviation(widened(self.log_scale))[..., None]
        inner = jnp.einsum("...ki,...kj->...ij", relative, relative)
        rank = inner.shape[-1]
        # Rounding of large entries must not leave C with an eigenvalue below 0.
        largest = jnp.max(inner, axis=(-1, -2), keepdims=True)
        ridge = 1 + 4 * rank * jnp.finfo(inner.dtype).eps * jax.lax.stop_gradient(largest)
        return relative, cholesky(inner + ridge * jnp.eye(rank))

    def _log_density(self, square: jax.Array, root: jax.Array) -> jax.Array:
        """Return log p given (z - μ)ᵀ Σ⁻¹ (z - μ)."""
        log_det = clip_log_var(widened(self.log_scale)).sum(-1) + _log_det(root)
        return -0.5 * (self.event_size * math.log(2 * math.pi) + square + log_det)

    def _noise(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> list:
        """Return ε and η."""
        sizes = shape, (*shape[:-1], self.factor.shape[-1])
        return [
            widened(normal_noise(key, size, self.mean.dtype, temperature))
            for key, size in zip(jax.random.split(key), sizes, strict=True)
        ]

    def _moved(self, epsilon: jax.Array, eta: jax.Array) -> jax.Array:
        scale = standard_deviation(widened(self.log_scale))
        moved = scale * epsilon + jnp.einsum("...ij,...j->...i", self._bounded, eta)
        return (self.mean + moved).astype(self.mean.dtype)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        return self._moved(*self._noise(key, shape, temperature))

    def _log_prob(self, z: jax.Array) -> jax.Array:
        relative, root = self._relative()
        offset = (z - widened(self.mean)) / standard_deviation(widened(self.log_scale))
        eta = _solved(root, jnp.einsum("...ij,...i->...j", relative, offset))
        rest = offset - jnp.einsum("...ij,...j->...i", relative, eta)
        return self._log_density(_square(rest) + _square(eta), root)

    def _sample_and_log_prob(
        self, key: PRNGKey, shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        epsilon, eta = self._noise(key, shape, 1.0)
        relative, root = self._relative()
        # How far the minimum is from the η of the sample.
        back = _solved(root, eta - jnp.einsum("...ij,...i->...j", relative, epsilon))
        rest = epsilon + jnp.einsum("...ij,...j->...i", relative, back)
        square = _square(rest) + _square(eta - back)
        return self._moved(epsilon, eta), self._log_density(square, root)


def _log_det(root: jax.Array) -> jax.Array:
    """Return log |C|, given its Cholesky factor."""
    return 2 * jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)).sum(-1)


def _square(values: jax.Array) -> jax.Array:
    return jnp.square(values).sum(-1)


def _solved(root: jax.Array, values: jax.Array) -> jax.Array:
    """Return C⁻¹ values, given the Cholesky factor of C."""
    half = solve_triangular(root, values[..., None])
    return solve_triangular(root, half, transposed=True)[..., 0]


@register_kl(LowRankNormal, StandardNormal)
def _(q: LowRankNormal, p: StandardNormal) -> jax.Array:  # noqa: ARG001
    return _kl(q, widened(q.mean), jnp.zeros(q.event_size))


@register_kl(LowRankNormal, DiagonalNormal)
def _(q: LowRankNormal, p: DiagonalNormal) -> jax.Array:
    log_var = clip_log_var(widened(p.log_var))
    mean = (widened(q.mean) - widened(p.mean)) * jnp.exp(-0.5 * log_var)
    return _kl(q, mean, log_var)


def _kl(q: LowRankNormal, mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """Return ½ (tr Σ + |μ|² - D - log |Σ|) in units of p, whose log-variances are given."""
    log_ratio = clip_log_var(widened(q.log_scale)) - log_var
    narrow = jnp.exp(-0.5 * log_var)[..., None]
    trace = jnp.square(narrow * q._bounded).sum((-1, -2))
    diagonal = (jnp.expm1(log_ratio) - log_ratio + jnp.square(mean)).sum(-1)
    return 0.5 * (diagonal + trace - _log_det(q._relative()[1]))
