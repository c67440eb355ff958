"""Traversals and interpolations: each picture in its row and column, and what the labels say."""

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.patches import Rectangle, StepPatch

from workshop.generative_models.visualization import interpolations, traversals
from workshop.generative_models.visualization.style import ACCENT

RNG = np.random.default_rng(0)
SHAPES = [(8, 8, 1), (25, 13, 1), (6, 5, 3), (1, 1, 1)]


def check_places(figure, images):
    """The picture at (row, step) is images[row, step]; rows go down, steps to the right."""
    shown = figure.axes[0].images
    rows, steps = images.shape[:2]
    assert len(shown) == rows * steps
    corners = np.array([image.get_extent() for image in shown]).reshape(rows, steps, 4)
    assert np.all(np.diff(corners[..., 0], axis=1) > 0)
    assert np.all(np.diff(corners[..., 3], axis=0) > 0)
    assert np.ptp(corners[..., 0], axis=0).max() == np.ptp(corners[..., 3], axis=1).max() == 0
    for image, picture in zip(images.reshape(-1, *images.shape[2:]), shown, strict=True):
        np.testing.assert_array_equal(
            picture.get_array(), image.squeeze(-1) if image.shape[-1] == 1 else image
        )
    return corners


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (3, 7)])
def test_a_traversal_has_a_row_a_latent_and_a_column_a_value(shape, rows, steps):
    images = RNG.uniform(size=(rows, steps, *shape))
    latents, kl = [12, 0, 3][:rows], [2.13, 0.5, 0.0021][:rows]
    figure = traversals(images, latents, kl, np.linspace(-3, 3, steps))
    corners = check_places(figure, images)
    texts = figure.axes[0].texts
    names = ["z12  KL 2.1 nats", "z0  KL 0.5 nats", "z3  KL 0.0021 nats"]
    columns = ["-3", "-2", "-1", "0", "1", "2", "3"]
    assert [text.get_text() for text in texts] == names[:rows] + columns[:steps]
    for row, text in enumerate(texts[:rows]):
        assert text.get_position()[1] == corners[row, 0, 2:].mean()
    for step, text in enumerate(texts[rows:]):
        assert text.get_position()[0] == corners[0, step, :2].mean()


def test_values_are_rounded_for_reading_and_kl_may_be_left_out():
    images = np.zeros((1, 4, 2, 2, 1))
    figure = traversals(images, np.array([7]), None, [-2 / 3, -1e-17, 0.125, 10])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["z7", "-0.67", "0", "0.12", "10"]


def test_vectors_walk_too():
    table = RNG.normal(size=(2, 3, 5))
    for figure in (traversals(table, [0, 1], [1, 1], [0, 1, 2]), interpolations(table)):
        steps = [p for p in figure.axes[0].patches if isinstance(p, StepPatch)]
        np.testing.assert_array_equal([p.get_data().values for p in steps], table.reshape(6, 5))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("rows", "steps"), [(1, 2), (3, 5)])
def test_an_interpolation_frames_its_ends_and_only_them(shape, rows, steps):
    images = RNG.uniform(size=(rows, steps, *shape))
    figure = interpolations(images)
    corners = check_places(figure, images)
    frames = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    marked = [p for p in frames if same_color(p.get_facecolor(), ACCENT)]
    # A frame stands two pixels out, behind its picture.
    expected = corners[:, [0, -1]].reshape(-1, 4)[:, [0, 3]] - 2
    np.testing.assert_array_equal([p.get_xy() for p in marked], expected)
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == (["start", "end"] if steps == 2 else ["start", "25%", "50%", "75%", "end"])


IMAGES = np.zeros((2, 3, 4, 4, 1))
WRONG = [
    (lambda: traversals(IMAGES[0], [0, 1], [1, 1], [0, 1, 2]), r"traversals\(images\).*steps"),
    (lambda: traversals(IMAGES, [0], [1, 1], [0, 1, 2]), r"\(latents\).*\(2,\), got \[0\]"),
    (lambda: traversals(IMAGES, [0, -1], [1, 1], [0, 1, 2]), r"traversals\(latents\).*>= 0"),
    (lambda: traversals(IMAGES, [0, 0.5], [1, 1], [0, 1, 2]), r"traversals\(latents\).*whole"),
    (lambda: traversals(IMAGES, [0, 1], [1], [0, 1, 2]), r"traversals\(kl\).*\(2,\), got \(1,\)"),
    (lambda: traversals(IMAGES, [0, 1], [1, np.inf], [0, 1, 2]), r"traversals\(kl\).*finite"),
    (lambda: traversals(IMAGES, [0, 1], [1, 1], [0, 1]), r"traversals\(values\).*\(3,\)"),
    (lambda: traversals(IMAGES[:0], [], [], [0, 1, 2]), r"traversals\(images\).*at least one"),
    (lambda: interpolations(IMAGES[0]), r"interpolations\(images\)"),
    (lambda: interpolations(IMAGES[:, :1]), r"interpolations\(images\).*at least 2 steps"),
    (lambda: interpolations(IMAGES, limits=(2, 2)), r"interpolations\(limits="),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
