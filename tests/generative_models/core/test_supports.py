"""Spaces of latents: nearest points, coordinates and shortest paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from workshop.generative_models.core.supports import SUPPORTS, support_named

RNG = np.random.default_rng(0)
WEIGHTS = np.linspace(0, 1, 7, dtype=np.float32)[:, None]


def distance(name, a, b):
    """Return the distance of points, in float64, by another formula than the package's."""
    a, b = np.float64(a), np.float64(b)
    if name == "real":
        return np.linalg.norm(a - b, axis=-1)
    if name == "sphere":
        return np.arccos(np.clip((a * b).sum(-1), -1, 1))
    gaps = (1 - np.square(a).sum(-1)) * (1 - np.square(b).sum(-1))
    return np.arccosh(1 + 2 * np.square(a - b).sum(-1) / gaps)


@pytest.mark.parametrize("name", list(SUPPORTS))
def test_paths_have_equal_steps_and_the_length_of_the_distance(name):
    support = support_named(name)
    ends = RNG.normal(size=(2, 1, 3)).astype(np.float32)
    path = np.asarray(
        jax.jit(lambda e: support.between(*support.points(e), jnp.asarray(WEIGHTS)))(ends)
    )
    first, last = np.asarray(jax.jit(support.points)(ends))
    steps = distance(name, path[1:], path[:-1])
    np.testing.assert_allclose(steps, distance(name, first, last).item() / 6, rtol=2e-4)
    np.testing.assert_allclose(path[[0]], first, atol=1e-6)
    np.testing.assert_allclose(path[[-1]], last, atol=1e-6)
    np.testing.assert_allclose(jax.jit(support.project)(path), path, atol=1e-6)


@pytest.mark.parametrize("name", list(SUPPORTS))
def test_coordinates_of_the_usual_prior_have_unit_variances(name):
    support = support_named(name)
    noise = jax.random.normal(jax.random.key(0), (20_000, 3))
    points = support.points(noise)  # on a sphere and around a centre these are the priors' samples
    coordinates = np.asarray(support.coordinates(points))
    np.testing.assert_allclose(coordinates.var(0), 1, atol=0.05)
    np.testing.assert_allclose(support.points(jnp.asarray(coordinates)), points, atol=1e-5)


def test_opposite_and_equal_points_have_a_path():
    sphere = support_named("sphere")
    ends = np.array([[1.0, 0, 0], [-1.0, 0, 0], [1.0, 1e-8, 0]], np.float32)[:, None]
    between = jax.jit(lambda a, b: sphere.between(a, b, jnp.asarray(WEIGHTS)))
    for last in ends[1:]:
        path = np.asarray(between(ends[0], last))
        np.testing.assert_allclose(np.linalg.norm(path, axis=-1), 1, atol=1e-6)


def test_points_outside_are_moved_to_the_space():
    found = {
        n: np.asarray(s.project(jnp.array([[3.0, 4.0], [0.0, 0.0]]))) for n, s in SUPPORTS.items()
    }
    np.testing.assert_allclose(found["real"][0], [3, 4])
    np.testing.assert_allclose(found["sphere"], [[0.6, 0.8], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(found["ball"], [[0.6, 0.8], [0, 0]], atol=1e-4)
    assert np.linalg.norm(found["ball"][0]) < 1


def test_an_unknown_space_is_named():
    with pytest.raises(ValueError, match=r"support='torus'.*'real', 'sphere', 'ball'"):
        support_named("torus")
