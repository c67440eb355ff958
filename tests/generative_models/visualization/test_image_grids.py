"""Grids: every picture is the given data, at its place, pixel for pixel."""

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.patches import StepPatch

from workshop.generative_models.visualization import image_grid, reconstructions, samples
from workshop.generative_models.visualization.sheet import default_columns
from workshop.generative_models.visualization.style import BAD, PALETTE

RNG = np.random.default_rng(0)


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def heading(figure):
    return " ".join(text.get_text() for text in figure.texts)


def drawn(figure):
    """The data behind each picture, in order."""
    return [np.ma.filled(image.get_array(), np.nan) for image in figure.axes[0].images]


def vectors(figure):
    """The heights of each filled step patch, in order."""
    patches = [p for p in figure.axes[0].patches if isinstance(p, StepPatch) and p.get_fill()]
    return [patch.get_data().values for patch in patches]


def rendered(figure):
    """Each picture as it comes out in the file, (height, width, 3) bytes."""
    figure.canvas.draw()
    canvas = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    boxes = [image.get_extent() for image in figure.axes[0].images]
    return [canvas[int(top) : int(low), int(left) : int(right)] for left, right, low, top in boxes]


SHAPES = [(8, 8, 1), (28, 28, 1), (64, 64, 3), (25, 13, 1), (1, 1, 1), (1, 50, 1), (5, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("n", [1, 10])
def test_every_pixel_of_the_file_is_a_pixel_of_the_data(shape, n):
    # The rendered bytes are the given ones, enlarged by a whole factor: nothing is smoothed,
    # shifted, cut, covered or transposed. One level of 255 is matplotlib's rounding down.
    images = RNG.integers(0, 256, (n, *shape), dtype=np.uint8)
    pictures = rendered(image_grid(images, title="Examples"))
    assert len(pictures) == n
    for image, picture in zip(images, pictures, strict=True):
        factor = picture.shape[0] // shape[0]
        assert picture.shape == (shape[0] * factor, shape[1] * factor, 3)
        expected = np.broadcast_to(image, (*shape[:2], 3)).repeat(factor, 0).repeat(factor, 1)
        np.testing.assert_allclose(picture.astype(int), expected.astype(int), rtol=0, atol=1)


@given(
    n=st.integers(1, 30),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    columns=st.none() | st.integers(1, 40),
)
def test_pictures_stand_in_reading_order_apart_and_inside_the_figure(n, shape, columns):
    figure = image_grid(np.zeros((n, *shape)), columns)
    boxes = np.array([image.get_extent() for image in figure.axes[0].images])
    left, right, bottom, top = boxes.T
    wide = len(np.unique(left))
    assert wide == (min(columns, n) if columns else default_columns(n, shape))
    order = np.lexsort((left, top))
    np.testing.assert_array_equal(order, np.arange(n))
    assert np.all(np.diff(np.unique(left)) > right[0] - left[0])
    assert np.all(np.diff(np.unique(top)) > bottom[0] - top[0])
    width, height = figure.canvas.get_width_height()
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= width
    assert bottom.max() <= height
    # The aspect of a picture is the aspect of its data.
    assert (right[0] - left[0]) * shape[0] == (bottom[0] - top[0]) * shape[1]


def test_default_columns_are_about_square_without_many_holes():
    assert [default_columns(n, (8, 8, 1)) for n in (1, 4, 10, 12, 16, 64, 100)] == [
        *(1, 2, 5, 4, 4, 8, 10)
    ]
    assert default_columns(100, (25, 13, 1)) > default_columns(100, (13, 25, 1))


@pytest.mark.parametrize(
    "convert", [np.asarray, jnp.asarray, np.ndarray.tolist], ids=["numpy", "jax", "list"]
)
def test_grey_values_pass_unchanged(convert):
    images = RNG.uniform(size=(3, 4, 5, 1)).astype(np.float32)
    for given_image, shown in zip(images, drawn(image_grid(convert(images))), strict=True):
        np.testing.assert_array_equal(shown, given_image[..., 0])


def test_low_precision_floats_and_booleans_are_numbers():
    (shown,) = drawn(image_grid(jnp.full((1, 2, 2, 1), 0.5, jnp.bfloat16)))
    np.testing.assert_array_equal(shown, 0.5)
    (shown,) = drawn(image_grid(np.eye(3, dtype=bool)[None, ..., None]))
    np.testing.assert_array_equal(shown, np.eye(3))


def test_two_and_more_than_three_channels_show_their_mean():
    images = RNG.uniform(size=(2, 4, 4, 5))
    figure = image_grid(images)
    np.testing.assert_allclose(drawn(figure), images.mean(-1), rtol=1e-15)
    assert "mean over the 5 channels" in heading(figure)


def test_values_a_little_outside_pixels_are_clipped_and_counted():
    images = np.full((1, 4, 5, 1), 0.5)
    images[0, 0, 0], images[0, 0, 1] = -0.05, 1.05
    figure = image_grid(images)
    np.testing.assert_array_equal(drawn(figure)[0], np.clip(images[0, ..., 0], 0, 1))
    assert "10.0% of the values lie outside [0, 1]" in heading(figure)
    assert len(figure.axes) == 1


def test_other_values_share_one_scale_with_a_bar():
    images = RNG.normal(size=(4, 6, 6, 1)) * 3
    figure = image_grid(images)
    np.testing.assert_array_equal(drawn(figure), images[..., 0])
    limits = {image.get_clim() for image in figure.axes[0].images}
    assert limits == {(images.min(), images.max())}
    assert [axes.get_label() for axes in figure.axes] == ["sheet", "scale"]
    assert figure.axes[1].get_ylim() == pytest.approx((images.min(), images.max()), rel=1e-12)


def test_colours_outside_pixels_are_rescaled_by_the_shared_limits():
    images = RNG.normal(size=(2, 3, 3, 3))
    expected = (images - images.min()) / (images.max() - images.min())
    # One subtraction and one division: a few units in the last place.
    np.testing.assert_allclose(drawn(image_grid(images)), expected, atol=1e-15)


def test_limits_are_used_as_given():
    images = np.array([-2.0, 0.0, 0.5, 3.0]).reshape(1, 2, 2, 1)
    figure = image_grid(images, limits=(-1, 1))
    np.testing.assert_array_equal(drawn(figure)[0], [[-1, 0], [0.5, 1]])
    assert figure.axes[0].images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 3])
def test_values_that_are_not_finite_are_magenta(value, channels):
    images = np.full((2, 4, 4, channels), 0.5)
    images[1, 2, 3, 0] = value
    figure = image_grid(images)
    assert "not finite (1 of" in heading(figure)
    picture = rendered(figure)[1]
    factor = picture.shape[0] // 4
    magenta = (picture == np.round(255 * np.array(to_rgb(BAD)))).all(-1)
    assert magenta[2 * factor : 3 * factor, 3 * factor :].all()
    assert magenta.sum() == factor**2


def test_an_image_of_nan_alone_is_drawn():
    assert np.isnan(drawn(image_grid(np.full((1, 3, 3, 1), np.nan)))[0]).all()


@pytest.mark.parametrize("value", [7.0, -3.0, 1e30])
def test_a_constant_outside_pixels_is_drawn(value):
    (image,) = image_grid(np.full((1, 2, 2, 1), value)).axes[0].images
    low, high = image.get_clim()
    assert low < value < high


def test_large_images_are_reduced_to_a_sensible_size():
    figure = image_grid(np.zeros((1, 1200, 400, 1)))
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (bottom - top) == pytest.approx(3 * (right - left), abs=1)
    assert max(figure.canvas.get_width_height()) < 1500


def test_titles_stand_above_their_pictures():
    figure = image_grid(np.zeros((3, 8, 8, 1)), columns=2, titles=["one", 2, "$5 a _b_ " * 20])
    assert texts(figure)[:2] == ["one", "2"]
    assert texts(figure)[2].startswith("$5 a _b_ $5")
    assert texts(figure)[2].endswith("…")
    for image, text in zip(figure.axes[0].images, figure.axes[0].texts, strict=True):
        left, right, _, top = image.get_extent()
        x, y = text.get_position()
        assert x == (left + right) / 2
        assert top - 16 < y < top


def test_no_text_is_cut_or_covers_another():
    names = [f"class number {i} of many" for i in range(4)]
    figures = [
        image_grid(RNG.normal(size=(4, 3, 3, 1)), titles=names, title="A long title " * 12),
        reconstructions(np.zeros((4, 3, 3, 1)), np.ones((4, 3, 3, 1)), range(4), range(4),
                        class_names=names),
        samples(np.zeros((4, 20)), range(4), class_names=names),
    ]  # fmt: skip
    for figure in figures:
        figure.canvas.draw()
        boxes = [t.get_window_extent() for t in (*figure.texts, *figure.axes[0].texts)]
        width, height = figure.canvas.get_width_height()
        for i, box in enumerate(boxes):
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= width
            assert box.y1 <= height
            assert not box.count_overlaps(boxes[:i])


def test_vectors_are_drawn_as_steps_of_their_values():
    table = RNG.normal(size=(5, 20))
    figure = image_grid(table)
    np.testing.assert_array_equal(vectors(figure), table)
    low, high = table.min(), table.max()
    assert f"20 values from left to right, heights from {low:.4g} to {high:.4g}" in heading(figure)


def test_vectors_beyond_the_limits_and_nan():
    figure = image_grid([[0.0, 5.0, np.nan], [1.0, 2.0, 3.0]], limits=(0, 2))
    first, marks, second = vectors(figure)
    np.testing.assert_array_equal(first, [0, 2, np.nan])
    np.testing.assert_array_equal(marks, [np.nan, np.nan, 2])
    np.testing.assert_array_equal(second, [1, 2, 2])
    assert "33.3% of the values lie outside" in heading(figure)
    assert vectors(image_grid(np.full((1, 4), np.inf)))[0].shape == (4,)


def test_reconstructions_stand_below_their_originals():
    originals, made = RNG.uniform(size=(2, 5, 6, 4, 1))
    figure = reconstructions(originals, made, [3, 1, 4, 1, 5], [10, 20.04, 3, 4, 5], columns=3)
    np.testing.assert_array_equal(drawn(figure), np.concatenate([originals, made])[..., 0])
    boxes = np.array([image.get_extent() for image in figure.axes[0].images])
    np.testing.assert_array_equal(boxes[:5, 0], boxes[5:, 0])  # the same columns,
    assert np.all(boxes[5:, 3] - boxes[:5, 2] < 8)  # just below each other
    rows = ["Original", "Reconstruction"] * 2
    losses = ["10.0", "20.0", "3.0", "4.0", "5.0"]
    assert texts(figure) == [*rows, "3", "1", "4", "1", "5", *losses]
    for label in figure.axes[0].texts[:4]:
        pictures = boxes[:5] if label.get_text() == "Original" else boxes[5:]
        y = label.get_position()[1]
        assert any(y == (bottom + top) / 2 for _, _, bottom, top in pictures)
    assert "Above each pair: its class. Below each pair: its reconstruction loss in nats." in (
        heading(figure)
    )


def test_reconstructions_are_on_the_scale_of_the_originals():
    originals = RNG.uniform(size=(2, 3, 3, 1))
    figure = reconstructions(originals, originals + 50)
    assert {image.get_clim() for image in figure.axes[0].images} == {(0, 1)}
    np.testing.assert_array_equal(drawn(figure)[2:], np.ones((2, 3, 3)))
    assert "50.0% of the values lie outside [0, 1]" in heading(figure)


def test_a_reconstructed_vector_has_the_line_of_its_original():
    table, made = RNG.normal(size=(2, 3, 7))
    made = np.clip(made, table.min(), table.max())
    figure = reconstructions(table, made)
    np.testing.assert_array_equal(vectors(figure), np.concatenate([table, made]))
    lines = [p for p in figure.axes[0].patches if isinstance(p, StepPatch) and not p.get_fill()]
    np.testing.assert_array_equal([line.get_data().values for line in lines], table)


def test_samples_of_a_class_share_a_row():
    labels = np.array([2, 0, 2, 7, 0, 2])
    images = np.arange(6).reshape(6, 1, 1, 1) / 10
    figure = samples(images, labels, class_names=list("abcdefgh"))
    assert texts(figure) == ["a", "c", "h"]
    # By class, and within one in the order given.
    np.testing.assert_array_equal(np.ravel(drawn(figure)), np.array([1, 4, 0, 2, 5, 3]) / 10)
    tops = [image.get_extent()[3] for image in figure.axes[0].images]
    assert np.unique(tops, return_inverse=True)[1].tolist() == [0, 0, 1, 1, 1, 2]
    assert texts(samples(images, labels)) == ["Class 0", "Class 2", "Class 7"]


def test_a_class_with_many_samples_goes_on_in_the_next_row():
    figure = samples(np.zeros((30, 2, 2, 1)), np.arange(30) % 2)
    tops = np.array([image.get_extent()[3] for image in figure.axes[0].images])
    assert np.unique(tops, return_counts=True)[1].tolist() == [12, 3, 12, 3]
    first, second, third, _ = np.unique(tops)
    assert third - second > second - first  # classes are set apart


def test_samples_without_labels_are_a_grid():
    images = RNG.uniform(size=(5, 3, 3, 1))
    np.testing.assert_array_equal(drawn(samples(images)), images[..., 0])
    assert heading(samples(images)) == "Samples from the model"


def test_figures_are_unknown_to_pyplot_and_leave_the_settings_alone():
    before = dict(matplotlib.rcParams)
    image_grid(np.zeros((1, 2, 2, 1)))
    with pytest.raises(ValueError, match="columns"):
        image_grid(np.zeros((1, 2, 2, 1)), columns=0)
    assert dict(matplotlib.rcParams) == before
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []


def test_palette_is_that_of_matplotlib():
    # The source of the colours in matplotlib's own copy of Petroff's cycle.
    if "petroff10" not in matplotlib.style.library:
        pytest.skip("matplotlib before 3.10 has no copy")
    cycle = matplotlib.style.library["petroff10"]["axes.prop_cycle"]
    assert tuple(cycle.by_key()["color"]) == PALETTE


IMAGES = np.zeros((3, 4, 4, 1))
WRONG = [
    (lambda: image_grid(np.zeros(3)), r"image_grid\(images\).*got shape \(3,\)"),
    (lambda: image_grid(np.zeros((3, 4, 4))), r"add a channel axis"),
    (lambda: image_grid(np.zeros((0, 4, 4, 1))), r"image_grid\(images\).*at least one value"),
    (lambda: image_grid(np.zeros((3, 4, 0, 1))), r"at least one value.*\(3, 4, 0, 1\)"),
    (lambda: image_grid(IMAGES + 1j), r"image_grid\(images\) is of type complex.*numbers"),
    (lambda: image_grid([[1.0], [1.0, 2.0]]), r"image_grid\(images\).*numbers"),
    (lambda: image_grid(IMAGES, columns=0), "image_grid: columns=0"),
    (lambda: image_grid(IMAGES, titles=["a"]), r"image_grid\(titles\): expected 3 .* got 1"),
    (lambda: image_grid(IMAGES, titles="abc"), r"image_grid\(titles\)"),
    (lambda: image_grid(IMAGES, limits=(1, 0)), r"image_grid\(limits=\(1, 0\)\)"),
    (lambda: image_grid(IMAGES, limits=(0, np.nan)), r"image_grid\(limits="),
    (lambda: reconstructions(IMAGES, IMAGES[:2]), r"\(reconstructed\).*\(3, 4, 4, 1\)"),
    (lambda: reconstructions(IMAGES[0], IMAGES), r"reconstructions\(originals\)"),
    (lambda: reconstructions(IMAGES, IMAGES, [1, 2]), r"reconstructions\(labels\).*3 examples"),
    (lambda: reconstructions(IMAGES, IMAGES, errors=[1, 2]), r"reconstructions\(errors\)"),
    (lambda: reconstructions(IMAGES, IMAGES, errors=[1, 2, np.nan]), r"errors\).*finite.*\[2\]"),
    (lambda: reconstructions(IMAGES, IMAGES, columns=-1), "reconstructions: columns=-1"),
    (lambda: samples(IMAGES, [0, 1, 0.5]), r"samples\(labels\): expected whole numbers, got 0.5"),
    (lambda: samples(IMAGES, np.eye(3)), r"samples\(labels\).*argmax"),
    (lambda: samples(IMAGES, [0, 1, 2], class_names=["a", "b"]), r"samples\(class_names\).* 2"),
    (lambda: samples(IMAGES, [0, 1, -1], class_names=["a", "b"]), r"samples\(class_names\).*-1"),
    (lambda: samples(IMAGES, [0, 1, 2], columns=0), "samples: columns=0"),
    (lambda: samples(IMAGES[..., 0]), r"samples\(images\)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
