"""The base class of distributions around a direction on the unit sphere."""

import abc
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import Distribution, Leaf, widened
from workshop.generative_models.core.gaussian import PRNGKey, clip_within
from workshop.generative_models.core.spherical import (
    angle_of_mode,
    angles,
    log_area,
    on_sphere,
    turned,
    value_and_slope,
)

LARGEST_CONCENTRATION = 1e5
"""Concentrations are clipped to [0, 1e5]."""


class AroundDirection(Distribution):
    """A density on the unit sphere of R^m that depends on z by w = μ·z alone.

    The event axis has the m coordinates of a point, one more than the sphere has dimensions. A
    density is one of area on the sphere, in nats. Points z that are given must have length 1, which
    is not checked. A temperature t divides the concentration by t².

    Attributes:
        direction: μ, up to a factor, [*batch, m].
        concentration: κ, [*batch].
        mean: μ, of length 1: the mean direction, not the mean of the coordinates, which is shorter.
    """

    log_largest: ClassVar[float]
    """Logarithm of the largest value of the density for κ = 1, as a factor of that at w = 0."""

    direction: Leaf
    concentration: Leaf

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        shape = self.direction.shape
        if shape[-1:] < (2,) or shape[:-1] != self.concentration.shape:
            raise ValueError(
                f"{type(self).__name__}: direction has shape {shape}, concentration has shape "
                f"{self.concentration.shape}: expected (*batch, event) and (*batch,), event at "
                "least 2"
            )
        return shape[:-1]

    @property
    def event_size(self) -> int:
        """Number of coordinates m of a point."""
        return self.direction.shape[-1]

    @property
    def mean(self) -> jax.Array:
        """μ, of length 1, [*batch, event]."""
        return on_sphere(widened(self.direction))

    @property
    def kappa(self) -> jax.Array:
        """κ, clipped to [0, 1e5], [*batch]."""
        return clip_within(widened(self.concentration), 0.0, LARGEST_CONCENTRATION)

    # Defined by subclasses.

    @abc.abstractmethod
    def _log_mean(self, kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the mean of the unnormalised density over the sphere, as a logarithm.

        The unnormalised density is 1 where w is 0, and second 1 at its largest value.
        """

    @abc.abstractmethod
    def _log_shape(self, kappa: jax.Array, fall: jax.Array, gap: ArrayLike) -> jax.Array:
        """Return the logarithm of the density at w, as a factor of that at w₀.

        Args:
            kappa: κ.
            fall: w₀ - w.
            gap: 1 - w₀.
        """

    @abc.abstractmethod
    def _peak(self, kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return 1 - cos θ at the most likely angle, and minus the second derivative there."""

    # What follows from these.

    def kl_to_uniform(self) -> jax.Array:
        """Return the divergence from the uniform distribution, [*batch], in nats.

            KL = κ L'(κ) - L(κ),  L the logarithm of the normaliser

        It is the same for both forms of L, of which each keeps its digits on one side.
        """
        kappa = self.kappa
        values, slopes = value_and_slope(self._log_mean, kappa)
        small, large = (kappa * d - value for value, d in zip(values, slopes, strict=True))
        return jnp.where(kappa < self.event_size, small, large)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        return self._turned(key, shape, temperature)[0]

    def _log_prob(self, z: jax.Array) -> jax.Array:
        # Of unit vectors 1 - w is half the square of the distance, which keeps its digits.
        return self._log_density(0.5 * jnp.square(z - self.mean).sum(-1))

    def _sample_and_log_prob(
        self, key: PRNGKey, shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        z, angle = self._turned(key, shape, 1.0)
        return z, self._log_density(2 * jnp.square(jnp.sin(angle / 2)))

    def _log_density(self, fall: jax.Array) -> jax.Array:
        """Return log p(z), given 1 - w."""
        kappa = self.kappa
        small, large = self._log_mean(kappa)
        small = small - self.log_largest * kappa
        constant = jnp.where(kappa < self.event_size, small, large)
        return self._log_shape(kappa, fall, 0.0) - constant - log_area(self.event_size)

    def _turned(
        self, key: PRNGKey, shape: Sequence[int], temperature: ArrayLike
    ) -> tuple[jax.Array, jax.Array]:
        """Return samples and their angles from μ."""
        key_of_angle, key_of_side = jax.random.split(key)
        mean, kappa = self.mean, self.kappa
        kappa = kappa / jnp.maximum(jnp.square(jnp.asarray(temperature, kappa.dtype)), 1e-9)
        gap, curvature = self._peak(jax.lax.stop_gradient(kappa))
        mode, power = angle_of_mode(gap), self.event_size - 2

        def log_density(offset: jax.Array) -> jax.Array:
            at = mode[..., None]
            fall = 2 * jnp.sin(at + offset / 2) * jnp.sin(offset / 2)
            found = self._log_shape(kappa[..., None], fall, gap[..., None])
            if power:  # the circles of equal w become smaller towards both poles
                found += power * jnp.log(jnp.maximum(jnp.sin(at + offset), 1e-20) / jnp.sin(at))
            return found

        uniform = jax.random.uniform(key_of_angle, shape[:-1], kappa.dtype)
        angle = angles(uniform, mode, jax.lax.rsqrt(curvature), log_density)
        noise = jax.random.normal(key_of_side, tuple(shape), mean.dtype)
        return turned(mean, noise, angle), angle
