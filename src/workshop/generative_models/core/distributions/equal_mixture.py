"""Mixtures of distributions of any one family, with equal weights."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import Distribution
from workshop.generative_models.core.gaussian import PRNGKey


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class EqualMixture(Distribution):
    """1/K Σ_k p_k, whose components are the last batch axis of one distribution.

    log p(z) = log Σ_k p_k(z) - log K

    A temperature scales the deviation of every component. Samples have no gradient with respect to
    the choice of their component. A density too small for the floating-point type is its most
    negative number, with gradient 0.

    Args:
        components: a distribution with one batch axis, the first of all of its arrays.

    Example:
        >>> from workshop.generative_models.core.distributions import DiagonalNormal
        >>> p = EqualMixture(DiagonalNormal(jnp.eye(3), jnp.zeros((3, 3))))
        >>> p.log_prob(jnp.zeros((8, 3))).shape
        (8,)
    """

    components: Any

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """No batch axes."""
        if len(self.components.batch_shape) != 1:
            raise ValueError(
                f"EqualMixture: components have batch axes {self.components.batch_shape}: expected "
                "one"
            )
        return ()

    @property
    def event_size(self) -> int:
        """Size of the event axis."""
        return self.components.event_size

    @property
    def mean(self) -> jax.Array:
        """The mean of the components' means, [event]."""
        return self.components.mean.mean(0)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        key_of_component, key_of_sample = jax.random.split(key)
        count = self.components.batch_shape[0]
        chosen = jax.random.randint(key_of_component, shape[:-1], 0, count)
        one_each = jax.tree.map(lambda a: a[chosen], self.components)
        return one_each.sample(key_of_sample, temperature=temperature)

    def _log_prob(self, z: jax.Array) -> jax.Array:
        each = self.components.log_prob(z[..., None, :])
        # The gradient of logsumexp is NaN if all its terms are -inf.
        each = jnp.maximum(each, jnp.finfo(each.dtype).min)
        return jax.nn.logsumexp(each, axis=-1) - jnp.log(each.shape[-1])
