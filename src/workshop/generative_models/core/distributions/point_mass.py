"""Point masses."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import Distribution, Leaf
from workshop.generative_models.core.gaussian import PRNGKey


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PointMass(Distribution):
    """All probability at one point: q(z|x) of an autoencoder.

    Every sample is the point, at any temperature. There is no density.

    Args:
        value: the point, [*batch, event].

    Example:
        >>> PointMass(jnp.array([1.0, 2.0])).sample(jax.random.key(0), (3,)).shape
        (3, 2)
    """

    has_density: ClassVar[bool] = False

    value: Leaf

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        if self.value.ndim == 0:
            raise ValueError("PointMass: value has shape (): expected (*batch, event)")
        return self.value.shape[:-1]

    @property
    def event_size(self) -> int:
        """Size of the event axis."""
        return self.value.shape[-1]

    @property
    def mean(self) -> jax.Array:
        """The point."""
        return self.value

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:  # noqa: ARG002
        return jnp.broadcast_to(self.value, shape)
