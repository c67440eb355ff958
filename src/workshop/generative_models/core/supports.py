"""The spaces that latents lie in: R^n, the unit sphere, the Poincaré ball."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.core.hyperbolic import exp_map, in_ball, log_map
from workshop.generative_models.core.spherical import on_sphere


class Support:
    """R^n, and what paths through latents need to know of a space; the base class of the others.

    Attributes:
        name: what `Posterior.support` and `Prior.support` are.
        about: what a point is called in tables and captions.
        reach: largest absolute value of a coordinate of a point; None if there is none.
    """

    name: ClassVar[str] = "real"
    about: ClassVar[str] = "latents"
    reach: ClassVar[float | None] = None

    def project(self, points: jax.Array) -> jax.Array:
        """Return the nearest points of the space, [..., n]."""
        return points

    def coordinates(self, points: jax.Array) -> jax.Array:
        """Return coordinates of points, in which the usual prior has unit variances, [..., n]."""
        return points

    def points(self, coordinates: jax.Array) -> jax.Array:
        """Return the points with given coordinates, [..., n]; any numbers are coordinates."""
        return coordinates

    def between(self, first: jax.Array, last: jax.Array, weight: jax.Array) -> jax.Array:
        """Return the points of the shortest path at weights from 0 to 1, which broadcast."""
        return (1 - weight) * first + weight * last


class Sphere(Support):
    """The unit sphere of R^n, whose points have n entries and n - 1 degrees of freedom.

    Coordinates are √n z: an entry of a uniform point has variance 1 / n. Those of another length
    stand for the point in their direction.
    """

    name: ClassVar[str] = "sphere"
    about: ClassVar[str] = "latents of length 1"
    reach: ClassVar[float | None] = 1.0

    def project(self, points: jax.Array) -> jax.Array:
        """Return the points divided by their lengths."""
        return on_sphere(points)

    def coordinates(self, points: jax.Array) -> jax.Array:
        """Return √n z."""
        return points.shape[-1] ** 0.5 * points

    def points(self, coordinates: jax.Array) -> jax.Array:
        """Return coordinates divided by their lengths."""
        return on_sphere(coordinates)

    def between(self, first: jax.Array, last: jax.Array, weight: jax.Array) -> jax.Array:
        """Return the points of the great circle; between opposite points any point is halfway.

        References:
            Shoemake, Animating Rotation with Quaternion Curves, SIGGRAPH 1985.
        """
        apart, together = (jnp.linalg.norm(p, axis=-1) for p in (first - last, first + last))
        angle = 2 * jnp.arctan2(apart, together)[..., None]
        line = (1 - weight) * first + weight * last
        circle = jnp.sin((1 - weight) * angle) * first + jnp.sin(weight * angle) * last
        return on_sphere(jnp.where(jnp.sin(angle) > 1e-3, circle, line))


class Ball(Support):
    """The Poincaré ball: the open unit ball with curvature -1.

    Coordinates are those of the tangent vector at the centre, log_0(z).
    """

    name: ClassVar[str] = "ball"
    about: ClassVar[str] = "latents of length below 1"
    reach: ClassVar[float | None] = 1.0

    def project(self, points: jax.Array) -> jax.Array:
        """Return the points, with those outside moved inside."""
        return in_ball(points)

    def coordinates(self, points: jax.Array) -> jax.Array:
        """Return log_0(z)."""
        return log_map(jnp.zeros_like(points), points)

    def points(self, coordinates: jax.Array) -> jax.Array:
        """Return exp_0 of coordinates."""
        return exp_map(jnp.zeros_like(coordinates), coordinates)

    def between(self, first: jax.Array, last: jax.Array, weight: jax.Array) -> jax.Array:
        """Return the points of the geodesic."""
        return exp_map(first, weight * log_map(first, last))


SUPPORTS: dict[str, Support] = {each.name: each for each in (Support(), Sphere(), Ball())}
"""The spaces by name."""


def support_named(name: str) -> Support:
    """Return a space by its name.

    Raises:
        ValueError: for a name that is not in `SUPPORTS`.
    """
    if name not in SUPPORTS:
        raise ValueError(
            f"support={name!r}: paths through latents of this space are unknown: expected one of "
            f"{', '.join(map(repr, SUPPORTS))}"
        )
    return SUPPORTS[name]
