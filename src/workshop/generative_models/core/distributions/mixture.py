"""Mixtures of normal distributions with diagonal covariances."""

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
from workshop.generative_models.core.gaussian import (
    PRNGKey,
    from_noise,
)


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
