"""Standard deviations of the training data as units to compute in."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from workshop.generative_models.core.moments import Moments


class _DataStatistic(nnx.Variable):
    """A statistic of the training data: saved with the weights, and not trained."""


class Standardization(nnx.Module):
    """The map u = (x - m) / s of each feature, with m and s from the training data.

    Until `fill` it is the identity.

    Args:
        event_shape: shape of one example.

    Attributes:
        mean: m, in the data's units.
        spread: s, in the data's units; 1 for a feature that is constant.
        filled: whether the two come from data.

    Examples:
        >>> from workshop.generative_models.core.moments import moments_of
        >>> units = Standardization((2,))
        >>> units.fill(moments_of([np.array([[1.0, 7.0], [3.0, 7.0]])]))
        >>> units(jnp.array([[3.0, 8.0]])).tolist()
        [[1.0, 1.0]]
    """

    def __init__(self, event_shape: tuple[int, ...]):
        self.mean = _DataStatistic(jnp.zeros(event_shape))
        self.spread = _DataStatistic(jnp.ones(event_shape))
        self.filled = _DataStatistic(jnp.zeros((), bool))

    def fill(self, moments: Moments) -> None:
        """Take m and s from data, unless they come from some already."""
        if self.filled[...]:
            return
        spread = np.where(moments.spread > 0, moments.spread, 1.0)
        self.mean[...] = jnp.asarray(moments.mean, jnp.float32)
        self.spread[...] = jnp.asarray(spread, jnp.float32)
        self.filled[...] = jnp.ones((), bool)

    def __call__(self, x: Float[Array, "batch *event"]) -> Float[Array, "batch *event"]:
        """Return (x - m) / s."""
        return (x - self.mean[...]) / self.spread[...]

    def undo(self, u: Float[Array, "batch *event"]) -> Float[Array, "batch *event"]:
        """Return m + s ⊙ u."""
        return self.mean[...] + self.spread[...] * u
