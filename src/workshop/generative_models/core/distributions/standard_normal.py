"""The standard normal distribution."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import (
    Distribution,
    normal_noise,
)
from workshop.generative_models.core.gaussian import (
    PRNGKey,
    log_density,
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

    @property
    def variance(self) -> jax.Array:
        """Ones, [event]."""
        return jnp.ones(self.event_size)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        return normal_noise(key, shape, float, temperature)

    def _log_prob_each(self, z: jax.Array) -> jax.Array:
        zeros = jnp.zeros_like(z)
        return log_density(z, zeros, zeros)
