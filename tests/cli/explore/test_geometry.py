import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.cli.explore.geometry import latent_plane, moved, path, principal_plane


def test_a_line_is_the_mean_of_its_ends_in_the_middle():
    a, b = np.array([1.0, -2.0, 0.5]), np.array([3.0, 4.0, -0.5])
    np.testing.assert_allclose(path(a, b, 3), [a, (a + b) / 2, b], atol=1e-15)


@given(st.integers(2, 9), st.floats(0.05, 3.0), st.floats(0.1, 10.0), st.integers(0, 99))
def test_spherical_path_is_a_rotation_at_even_speed(dims, angle, length, seed):
    """Of ends of one length: the oracle is a rotation, cos(tθ) u + sin(tθ) v, in their plane."""
    u, v = np.linalg.qr(np.random.default_rng(seed).normal(size=(dims, 2)))[0].T
    t = np.linspace(0, 1, 7)[:, None]
    turned = length * (np.cos(t * angle) * u + np.sin(t * angle) * v)
    # The angle comes back through arccos, which loses half of the digits near 0.
    np.testing.assert_allclose(
        path(turned[0], turned[-1], 7, "spherical"), turned, atol=1e-9 * length
    )


def test_spherical_path_between_ends_of_two_lengths():
    """Shoemake's formula by hand at the middle of a right angle: (a + b) sin 45° / sin 90°."""
    a, b = np.array([2.0, 0.0]), np.array([0.0, 3.0])
    np.testing.assert_allclose(path(a, b, 3, "spherical")[1], np.sqrt(0.5) * (a + b))


@pytest.mark.parametrize("end", [[2.0, 4.0], [-1.0, -2.0], [0.0, 0.0], [1.0, 2.0]])
def test_where_no_arc_leads_the_path_is_the_line(end):
    start = np.array([1.0, 2.0])
    found = path(start, np.array(end), 5, "spherical")
    np.testing.assert_allclose(found, path(start, np.array(end), 5), atol=1e-12)


@pytest.mark.parametrize(
    ("steps", "kind", "message"),
    [(1, "linear", "at least 2"), (3, "sphericl", "did you mean 'spherical'")],
)
def test_paths_that_are_refused(steps, kind, message):
    with pytest.raises(ValueError, match=message):
        path(np.ones(2), np.ones(2), steps, kind)


def test_moved_sets_a_channel_at_every_place():
    z = np.arange(12.0)
    found = moved(z, (2, 2, 3), 1, [7.0, -7.0]).reshape(2, 2, 2, 3)
    assert (found[0, ..., 1] == 7).all()
    assert (found[1, ..., 1] == -7).all()
    np.testing.assert_array_equal(
        found[0, ..., [0, 2]], z.reshape(2, 2, 3)[..., [0, 2]].T.swapaxes(1, 2)
    )


def test_principal_plane_equals_the_eigenvectors_of_the_covariance():
    rng = np.random.default_rng(0)
    means = (rng.normal(size=(200, 5)) * [3, 0.1, 2, 0.5, 1]) @ rng.normal(size=(5, 5)) + 4
    plane = principal_plane(means)
    values, vectors = np.linalg.eigh(np.cov(means.T))
    expected = (means - means.mean(0)) @ vectors[:, [-1, -2]]
    found = plane.coordinates(means)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)  # up to the sign
    share = values[-1] / values.sum()
    assert plane.names[0] == f"component 1 ({share:.0%} of the variance)"


def test_moving_along_a_plane_lands_where_asked_and_leaves_the_rest():
    rng = np.random.default_rng(1)
    means, z = rng.normal(size=(50, 4)), rng.normal(size=4)
    for plane in (principal_plane(means), latent_plane(4, 3, 1)):
        there = plane.moved(z, (0.3, -2.0))
        np.testing.assert_allclose(plane.coordinates(there[None])[0], [0.3, -2.0], atol=1e-12)
        # What is orthogonal to the plane stays.
        rest = np.eye(4) - plane.axes.T @ plane.axes
        np.testing.assert_allclose(rest @ there, rest @ z, atol=1e-12)


def test_a_single_latent_has_a_map_too():
    plane = latent_plane(1, 0, 0)
    np.testing.assert_array_equal(plane.coordinates(np.array([[2.0], [3.0]])), [[2, 0], [3, 0]])
    assert plane.moved(np.array([2.0]), (5.0, 9.0)).tolist() == [5.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((4, 1, 1), "two different latents"), ((4, 0, 4), "0 <= latent < 4")],
)
def test_pairs_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        latent_plane(*arguments)


def test_no_components_of_equal_points():
    with pytest.raises(ValueError, match="2 different points"):
        principal_plane(np.ones((3, 3)))
