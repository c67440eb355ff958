"""Normal distributions with diagonal covariances, and mixtures of them."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import (
    Distribution,
    Leaf,
    normal_noise,
    widened,
)
from workshop.generative_models.core.gaussian import (
    PRNGKey,
    clip_log_var,
    from_noise,
    log_density,
    standard_deviation,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StandardNormal(Distribution):
    """N(0, I), without batch axes.

    log p(z) = -½ Σ_i (log 2π + z_i²)

    Args:
        event_size: size of the event axis.

    Example:
        >>> prior = StandardNormal(2)
        >>> prior.sample(jax.random.key(0), (8,), temperature=0.7).shape
        (8, 2)
    """

    factorises: ClassVar[bool] = True

    event_size: int = dataclasses.field(metadata={"static": True})

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """No batch axes."""
        return ()

    @property
    def mean(self) -> jax.Array:
        """Zeros, [event]."""
        return jnp.zeros(self.event_size)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        return normal_noise(key, shape, float, temperature)

    def _log_prob_each(self, z: jax.Array) -> jax.Array:
        zeros = jnp.zeros_like(z)
        return log_density(z, zeros, zeros)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class DiagonalNormal(Distribution):
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
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        if self.mean.shape != self.log_var.shape or self.mean.ndim == 0:
            raise ValueError(
                f"DiagonalNormal: mean has shape {self.mean.shape}, log_var has shape "
                f"{self.log_var.shape}: expected (*batch, event) for both"
            )
        return self.mean.shape[:-1]

    @property
    def event_size(self) -> int:
        """Size of the event axis."""
        return self.mean.shape[-1]

    @property
    def scale(self) -> jax.Array:
        """σ, [*batch, event]."""
        return standard_deviation(self.log_var)

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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class MixtureOfDiagonalNormals(Distribution):
    """Σ_k w_k N(μ_k, diag σ_k²) with w = softmax(logits).

    log p(z) = log Σ_k exp(log w_k + log N(z; μ_k, diag σ_k²))

    A temperature scales σ_k and leaves w and μ_k as they are. The component of a sample is drawn
    from a categorical distribution, so samples have no gradient with respect to the logits. A
    density too small for the floating-point type is its most negative number, with gradient 0.

    Args:
        logits: [*batch, components].
        means: μ, [*batch, components, event].
        log_vars: log σ², of the same shape; clipped to [-20, 20].

    Raises:
        ValueError: if the shapes do not fit, when the distribution is used.

    Example:
        >>> p = MixtureOfDiagonalNormals(jnp.zeros(3), jnp.eye(3), jnp.zeros((3, 3)))
        >>> p.log_prob(jnp.zeros((8, 3))).shape
        (8,)
    """

    logits: Leaf
    means: Leaf
    log_vars: Leaf

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        if not self.logits.shape == self._components.batch_shape != ():
            raise ValueError(
                f"MixtureOfDiagonalNormals: logits have shape {self.logits.shape}, means and "
                f"log_vars {self.means.shape}: expected (*batch, components) and "
                "(*batch, components, event)"
            )
        return self.logits.shape[:-1]

    @property
    def event_size(self) -> int:
        """Size of the event axis."""
        return self.means.shape[-1]

    @property
    def mean(self) -> jax.Array:
        """Σ_k w_k μ_k, [*batch, event]."""
        return (jax.nn.softmax(self.logits)[..., None] * self.means).sum(-2)

    @property
    def mode(self) -> jax.Array:
        """The μ_k with the largest w_k N(μ_k; μ_k, diag σ_k²), [*batch, event].

        It is near the mode of the mixture if the components are well separated.
        """
        peaks = jax.nn.log_softmax(self.logits) + self._components.log_prob(self.means)
        return _take(self.means, peaks.argmax(-1))

    @property
    def _components(self) -> DiagonalNormal:
        return DiagonalNormal(self.means, self.log_vars)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        key_of_component, key_of_noise = jax.random.split(key)
        component = jax.random.categorical(key_of_component, self.logits, shape=shape[:-1])
        noise = normal_noise(key_of_noise, shape, self.means.dtype, temperature)
        return from_noise(_take(self.means, component), _take(self.log_vars, component), noise)

    def _log_prob(self, z: jax.Array) -> jax.Array:
        log_weights = jax.nn.log_softmax(widened(self.logits))
        joint = log_weights + self._components.log_prob(z[..., None, :])
        # The gradient of logsumexp is NaN if all its terms are -inf.
        return jax.nn.logsumexp(jnp.maximum(joint, jnp.finfo(joint.dtype).min), axis=-1)


def _take(values: jax.Array, component: jax.Array) -> jax.Array:
    """Return values [*batch, components, event] of component [*shape, *batch]."""
    extra = component.ndim - (values.ndim - 2)
    values = values.reshape((1,) * extra + values.shape)
    return jnp.take_along_axis(values, component[..., None, None], axis=-2)[..., 0, :]
