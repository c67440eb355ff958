"""Paths and planes in the latent space. All here is float64 numpy on rows of latents."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA

from workshop.generative_models.core import checks

PATHS = ("linear", "spherical")


def path(
    start: Float[np.ndarray, " d"], end: Float[np.ndarray, " d"], steps: int, kind: str = "linear"
) -> Float[np.ndarray, "steps d"]:
    """Return points from `start` to `end`, both included, at equal steps.

        linear     (1 - t) a + t b
        spherical  (sin((1 - t) θ) a + sin(t θ) b) / sin θ,  θ the angle between a and b

    The spherical path keeps the norm of samples of a Gaussian in many dimensions; the middle of a
    line is shorter. For parallel or opposite directions, or a zero, it is the line.

    References:
        Shoemake, Animating Rotation with Quaternion Curves, SIGGRAPH 1985; White, Sampling
        Generative Networks, 2016.

    Examples:
        >>> path(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 3, "spherical")[1].round(4).tolist()
        [0.7071, 0.7071]
    """
    checks.one_of("path: kind", kind, PATHS)
    if checks.positive_int("path: steps", steps) < 2:
        raise ValueError(f"path: steps={steps}: expected at least 2, the two ends")
    a, b = start.astype(np.float64), end.astype(np.float64)
    t = np.linspace(0, 1, steps)[:, None]
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    if kind == "spherical" and lengths > 0:
        angle = np.arccos(np.clip(a @ b / lengths, -1, 1))
        if np.sin(angle) > 1e-6:
            return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    return (1 - t) * a + t * b


def moved(
    z: Float[np.ndarray, " d"], shape: tuple[int, ...], dim: int, values: ArrayLike
) -> Float[np.ndarray, "n d"]:
    """Return copies of one example's latents with latent `dim` set to each value.

    They are flat, and before that of `shape`: the channel of a map takes the value at every place.

    Examples:
        >>> moved(np.array([5.0, 6.0, 7.0, 8.0]), (2, 2), 0, [1.0]).tolist()
        [[1.0, 6.0, 1.0, 8.0]]
    """
    chosen = np.asarray(values, np.float64)
    copies = np.repeat(z.astype(np.float64).reshape(1, *shape), len(chosen), axis=0)
    copies[..., dim] = chosen.reshape(-1, *(1,) * (len(shape) - 1))
    return copies.reshape(len(chosen), -1)


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane through the latent space, for a map: p(z) = (z - origin) axesᵀ.

    Attributes:
        origin: (d,) the point at the map's (0, 0).
        axes: (2, d) orthonormal directions, or (1, d) where there is only one latent.
        names: what the axes are called.
    """

    origin: Float[np.ndarray, " d"]
    axes: Float[np.ndarray, "k d"]
    names: tuple[str, ...]

    def coordinates(self, z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 2"]:
        """Return where latents lie on the map; a missing second coordinate is 0."""
        found = (z - self.origin) @ self.axes.T
        return found if found.shape[1] == 2 else np.pad(found, ((0, 0), (0, 1)))

    def moved(self, z: Float[np.ndarray, " d"], to: tuple[float, float]) -> Float[np.ndarray, " d"]:
        """Return the point nearest to z with the coordinates `to` on the map."""
        way = np.asarray(to) - self.coordinates(z[None])[0]
        return z + way[: len(self.axes)] @ self.axes


def latent_plane(latents: int, first: int, second: int) -> Plane:
    """Return the plane of two latents, or of the only one there is."""
    for name, dim in (("first", first), ("second", second)):
        if not 0 <= dim < latents:
            raise ValueError(f"latent_plane({name}={dim}): expected 0 <= latent < {latents}")
    if latents > 1 and first == second:
        raise ValueError(f"latent_plane: both axes are z{first}: choose two different latents")
    dims = [first] if latents == 1 else [first, second]
    return Plane(np.zeros(latents), np.eye(latents)[dims], tuple(f"z{dim}" for dim in dims))


def principal_plane(means: Float[np.ndarray, "n d"]) -> Plane:
    """Return the plane of the first two principal components, through the mean of all points."""
    if min(means.shape) < 2 or not np.ptp(means, axis=0).any():
        raise ValueError(
            f"principal_plane(means): expected at least 2 latents and 2 different points, got "
            f"shape {means.shape}: choose a pair of latents"
        )
    pca = PCA(n_components=2, svd_solver="full").fit(means.astype(np.float64))
    shares = [f"{share:.0%}" for share in pca.explained_variance_ratio_]
    names = tuple(f"component {i} ({share} of the variance)" for i, share in enumerate(shares, 1))
    return Plane(np.asarray(pca.mean_), np.asarray(pca.components_), names)
