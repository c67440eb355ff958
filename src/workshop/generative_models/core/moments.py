"""Mean and spread of the training data, feature by feature, and the units that they make."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float


class Moments(NamedTuple):
    """Mean and spread of every feature of the training data, as a model reads it."""

    mean: np.ndarray
    """In the shape of one example, float64."""
    spread: np.ndarray
    """Standard deviation, likewise; 0 for a feature that is constant."""
    names: Sequence[str] | None = None
    """Names of the columns, where the data had some."""
    examples: Callable[[int], np.ndarray] | None = None
    """Returns at most n examples from all over the training data, (n, *event), as a model reads
    them."""


_EPS = float(np.finfo(np.float32).eps)


def moments_of(chunks: Iterable[np.ndarray], names: Sequence[str] | None = None) -> Moments:
    """Return the moments of data that comes in chunks (n, *event), and perhaps column names.

    Each chunk is read as float32, bytes as k/255, and its sums are taken in float64, merged by the
    parallel algorithm of Chan et al. A spread below what float32 resolves beside the mean counts as
    0: such a feature is constant to the model.

    References:
        Chan, Golub & LeVeque, Algorithms for Computing the Sample Variance, The American
        Statistician 1983.

    Examples:
        >>> found = moments_of([np.array([[0.0, 5.0]]), np.array([[2.0, 5.0]])])
        >>> found.mean.tolist(), found.spread.tolist()
        ([1.0, 5.0], [1.0, 0.0])
    """
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for chunk in chunks:
        x = as_read(chunk)
        here = x.mean(0, dtype=np.float64)
        # Centred before it is squared, in float64: float32 would cancel, and overflow from 1e19.
        squares_here = np.square(x - here).sum(0)
        total = count + len(x)
        shift = here - mean
        squares = squares + squares_here + np.square(shift) * (count * len(x) / total)
        mean, count = mean + shift * (len(x) / total), total
    spread = np.sqrt(squares / count)
    return Moments(mean, np.where(spread > _EPS * np.abs(mean), spread, 0.0), names)


def as_read(chunk: np.ndarray) -> np.ndarray:
    """Return examples as float32, bytes as k/255."""
    x = np.asarray(chunk)
    return x / np.float32(255) if x.dtype == np.uint8 else x.astype(np.float32, copy=False)


class DataStatistic(nnx.Variable):
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
        >>> units = Standardization((2,))
        >>> units.fill(moments_of([np.array([[1.0, 7.0], [3.0, 7.0]])]))
        >>> units(jnp.array([[3.0, 8.0]])).tolist()
        [[1.0, 1.0]]
    """

    def __init__(self, event_shape: tuple[int, ...]):
        self.mean = DataStatistic(jnp.zeros(event_shape))
        self.spread = DataStatistic(jnp.ones(event_shape))
        self.filled = DataStatistic(jnp.zeros((), bool))

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
