"""The uniform distribution on the unit sphere."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import Distribution
from workshop.generative_models.core.distributions.divergence import register_kl
from workshop.generative_models.core.gaussian import PRNGKey
from workshop.generative_models.core.spherical import log_area, on_sphere


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UniformSphere(Distribution):
    """The uniform distribution on the unit sphere of R^m, without batch axes.

    log p(z) = log Γ(m / 2) - log 2 - m/2 log π, per area of the sphere

    Points z must have length 1, which is not checked. There is nothing for a temperature to scale:
    samples are the same at any.

    Args:
        event_size: m, the number of coordinates of a point, at least 2.

    Example:
        >>> float(UniformSphere(2).log_prob(jnp.array([0.6, 0.8]))) == -float(jnp.log(2 * jnp.pi))
        True
    """

    event_size: int = dataclasses.field(metadata={"static": True})

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """No batch axes."""
        return ()

    @property
    def mean(self) -> jax.Array:
        """The first axis, [event]: every direction is as good a mean direction."""
        return jnp.zeros(self.event_size).at[0].set(1)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:  # noqa: ARG002
        return on_sphere(jax.random.normal(key, shape))

    def _log_prob(self, z: jax.Array) -> jax.Array:
        return jnp.full(z.shape[:-1], -log_area(self.event_size), z.dtype)


@register_kl(UniformSphere, UniformSphere)
def _(q: UniformSphere, p: UniformSphere) -> jax.Array:  # noqa: ARG001
    return jnp.zeros(())
