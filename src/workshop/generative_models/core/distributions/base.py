"""The interface of distributions."""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from workshop.generative_models.core.gaussian import PRNGKey, standard_deviation

Leaf = jax.Array | Any
"""Type of a field that holds an array; JAX also builds pytrees of axes, shapes and sentinels."""


class Distribution(abc.ABC):
    """A distribution over vectors: a pytree of arrays with batch axes and one event axis.

    Batch axes are on the left, the event axis is the last. A subclass is a frozen dataclass
    registered with `jax.tree_util.register_dataclass`; it has the attributes below and defines
    `_sample` and either `_log_prob` or, if it factorises, `_log_prob_each`.

    Attributes:
        has_density: False for distributions without a density, such as a point mass.
        factorises: True if the entries of the event axis are independent.
        explicit_density: False if `log_prob` is a loop, of many times the cost of
            `sample_and_log_prob`, or is not known but of its own samples; a model then returns
            log q of its samples with them.
        batch_shape: shape of the batch axes.
        event_size: size of the event axis.
        mean: [*batch, event].
        variance: of each entry, [*batch, event]; only distributions that factorise need it.
    """

    has_density: ClassVar[bool] = True
    factorises: ClassVar[bool] = False
    explicit_density: ClassVar[bool] = True
    batch_shape: tuple[int, ...]
    event_size: int
    mean: jax.Array
    variance: jax.Array

    @property
    def mode(self) -> jax.Array:
        """A point of highest density, [*batch, event]; by default the mean."""
        return self.mean

    def sample(
        self, key: PRNGKey, shape: Sequence[int] = (), *, temperature: ArrayLike = 1.0
    ) -> jax.Array:
        """Sample z, [*shape, *batch, event]; the temperature scales the standard deviation."""
        return self._sample(key, self._sample_shape(shape), temperature)

    def log_prob(self, z: ArrayLike) -> jax.Array:
        """Return log p(z) in nats, summed over the event axis, float32 or wider.

        Leading axes of z, [*shape, *batch, event], broadcast against the batch axes.

        Raises:
            ValueError: if z has another shape, or the distribution has no density.
        """
        return self._log_prob(self._checked("log_prob", z))

    def log_prob_of_samples(self, z: ArrayLike, log_q: jax.Array) -> jax.Array:  # noqa: ARG002
        """Return log p(z) of samples z of a distribution q, as `log_prob` does.

        A distribution that estimates its own normaliser can weigh the samples into the estimate.

        Args:
            z: [*shape, *batch, event].
            log_q: log q(z), [*shape, *batch], in nats.
        """
        return self.log_prob(z)

    def log_prob_each(self, z: ArrayLike) -> jax.Array:
        """Return log p(z) of each entry of the event axis, [*shape, *batch, event], in nats.

        Raises:
            ValueError: as `log_prob`, and if the distribution does not factorise.
        """
        z = self._checked("log_prob_each", z)
        if not self.factorises:
            raise ValueError(
                f"{type(self).__name__}.log_prob_each: the distribution does not factorise over "
                "the event axis; use log_prob"
            )
        return self._log_prob_each(z)

    def sample_and_log_prob(
        self, key: PRNGKey, shape: Sequence[int] = ()
    ) -> tuple[jax.Array, jax.Array]:
        """Sample z and return it with log p(z), [*shape, *batch].

        The density is computed from the noise of the sample where the distribution has one.

        Raises:
            ValueError: if the distribution has no density.
        """
        self.require_density("sample_and_log_prob")
        return self._sample_and_log_prob(key, self._sample_shape(shape))

    def require_density(self, call: str) -> None:
        """Raise a ValueError that names the call if the distribution has no density."""
        if not self.has_density:
            raise ValueError(
                f"{call}: {type(self).__name__} has no density (it is the q(z|x) of an "
                "autoencoder, a single point for each x), so no bound on log p(x) exists"
            )

    # Defined by subclasses. Shapes are checked, z is float32 or wider.

    @abc.abstractmethod
    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        """Return samples of the given shape, [..., *batch, event]."""

    def _log_prob(self, z: jax.Array) -> jax.Array:
        return self._log_prob_each(z).sum(-1)

    def _log_prob_each(self, z: jax.Array) -> jax.Array:
        raise NotImplementedError(f"{type(self).__name__} defines no density")

    def _sample_and_log_prob(
        self, key: PRNGKey, shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        z = self._sample(key, shape, 1.0)
        return z, self._log_prob(widened(z))

    def _sample_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape, *self.batch_shape, self.event_size)

    def _checked(self, call: str, z: ArrayLike) -> jax.Array:
        self.require_density(call)
        z = jnp.asarray(z)
        fits = z.ndim > 0 and z.shape[-1] == self.event_size
        if fits:
            try:
                jnp.broadcast_shapes(z.shape[:-1], self.batch_shape)
            except ValueError:
                fits = False
        if not fits:
            expected = ", ".join(str(size) for size in (*self.batch_shape, self.event_size))
            raise ValueError(
                f"{type(self).__name__}.{call}: z has shape {z.shape}: expected "
                f"(..., {expected}), the batch axes and the event axis"
            )
        return widened(z)


class MeanAndLogVar(Distribution):
    """What distributions with the fields `mean` and `log_var`, of one shape, share."""

    log_var: jax.Array

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        if self.mean.shape != self.log_var.shape or self.mean.ndim == 0:
            raise ValueError(
                f"{type(self).__name__}: mean has shape {self.mean.shape}, log_var has shape "
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


def widened(values: jax.Array) -> jax.Array:
    """Return values as float32, or in their own type if it is wider."""
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def normal_noise(
    key: PRNGKey, shape: tuple[int, ...], dtype: DTypeLike, temperature: ArrayLike
) -> jax.Array:
    """Sample N(0, temperature²)."""
    noise = jax.random.normal(key, shape, dtype)
    if isinstance(temperature, int | float) and temperature == 1:
        return noise
    return jnp.asarray(temperature, dtype) * noise
