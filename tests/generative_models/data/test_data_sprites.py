"""Sprites against outlines filled by matplotlib, closed forms and exact symmetries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path
from scipy.stats import chi2

from workshop.generative_models.data import load_dataset, sprites
from workshop.generative_models.data.sprites import FACTOR_NAMES, FACTOR_SIZES, NUM_IMAGES

AREA = 18.0**2  # of every shape at scale 1


def grid(pos_x, pos_y):
    """Every shape, scale and orientation at one position, (720, 5)."""
    inner = np.stack(np.unravel_index(np.arange(720), FACTOR_SIZES[:3]), -1)
    return np.concatenate([inner, np.tile([pos_x, pos_y], (720, 1))], 1).astype(np.int32)


@pytest.fixture(scope="module")
def centred():
    factors = grid(16, 16)
    return factors, np.asarray(sprites.render_batch(factors))[..., 0].astype(np.float64)


def outline(shape):
    """Corner points of the shape at scale 1, upright, about its centroid; float64."""
    t = np.linspace(0, 2 * np.pi, 401)
    if shape == 0:
        return 9.0 * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1]])
    if shape == 1:
        a = np.sqrt(2 * AREA / np.pi)  # π a (a / 2) = AREA
        return np.stack([a * np.cos(t), a / 2 * np.sin(t)], 1)
    side = np.sqrt(AREA / (1 + np.pi / 4))
    half_diagonal = side / np.sqrt(2)
    arc = np.linspace(-np.pi / 4, 3 * np.pi / 4, 201)
    lobe = np.stack([np.cos(arc), np.sin(arc)], 1) * side / 2
    lobe += [half_diagonal / 2, 1.5 * half_diagonal]
    points = np.concatenate([[[0, 0]], lobe, lobe[::-1] * [-1, 1], [[0, 0]]])
    x, y = points.T  # the centroid of a polygon by the shoelace formula
    cross = x[:-1] * y[1:] - x[1:] * y[:-1]
    return points - [0, ((y[:-1] + y[1:]) * cross).sum() / (3 * cross.sum())]


def filled(factors, n=12):
    """The sprite by asking of n × n points in a pixel whether they are in the outline.

    Only pixels of the window of 34 × 34 about the outline are asked, the others being empty.
    """
    shape, scale, orientation, pos_x, pos_y = (int(f) for f in factors)
    angle = 2 * np.pi * orientation / 40
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = (0.5 + 0.1 * scale) * outline(shape) @ turn
    points = [16.5 + pos_x, 16.5 + pos_y] + points * [1, -1]  # rows grow downwards
    left, top = np.floor(points.min(0)).astype(int)
    middles = (np.arange(34 * n) + 0.5) / n
    at = np.stack(np.meshgrid(left + middles, top + middles), -1).reshape(-1, 2)
    inside = Path(points).contains_points(at).reshape(34, n, 34, n).mean((1, 3))
    image = np.zeros((64 + 34, 64 + 34))
    image[top : top + 34, left : left + 34] = inside
    assert not image[64:].any()
    assert not image[:, 64:].any()
    return image[:64, :64]


@pytest.mark.sampled
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", range(3))
def test_image_agrees_with_its_outline(shape, seed):
    factors = np.random.default_rng(10 * seed + shape).integers(0, FACTOR_SIZES).astype(np.int32)
    factors[0] = shape
    image = np.asarray(sprites.render(factors))[..., 0]
    # A pixel is off by at most 0.06 where the edge is taken for straight and for two-point blur.
    np.testing.assert_allclose(image, filled(factors), atol=0.08)


def test_area_is_the_closed_form_at_every_scale_and_orientation(centred):
    factors, images = centred
    area = AREA * (0.5 + 0.1 * factors[:, 1]) ** 2
    # A ramp one pixel wide along a convex edge adds π/12 = 0.26 px², the curvature of the ellipse's
    # tips and the grid up to 0.6 px²; the least area is 81 px². Straight edges have less of it.
    np.testing.assert_allclose(images.sum((1, 2)), area, atol=0.9)
    square = factors[:, 0] == 0
    np.testing.assert_allclose(images[square].sum((1, 2)), area[square], atol=0.2)


def test_centroid_is_the_position(centred):
    _, images = centred
    middles = np.arange(64) + 0.5
    total = images.sum((1, 2))
    np.testing.assert_allclose(images.sum(1) @ middles / total, 32.5, atol=0.02)
    np.testing.assert_allclose(images.sum(2) @ middles / total, 32.5, atol=0.02)


def test_position_moves_by_whole_pixels_and_nothing_leaves_the_frame(centred):
    factors, images = centred
    rng = np.random.default_rng(0)
    moves = rng.integers(0, 32, (720, 2)).astype(np.int32)
    moves[:4] = [[0, 0], [0, 31], [31, 0], [31, 31]]
    moved = np.concatenate([factors[:, :3], moves], 1)
    got = np.asarray(sprites.render_batch(moved))[..., 0]
    for image, base, (right, down) in zip(got, images, moves - 16, strict=True):
        np.testing.assert_array_equal(image, np.roll(base, (down, right), (0, 1)))
    # Rolling wraps round; that nothing wraps at the extremes follows from the empty margin here.
    assert images[:, :16].max() == images[:, -15:].max() == 0
    assert images[:, :, :16].max() == images[:, :, -15:].max() == 0


def test_ten_steps_of_orientation_are_a_quarter_turn():
    # np.rot90 turns counterclockwise about (32, 32): the centre (x, y) goes to (y, 64 - x).
    factors = grid(5, 20)
    factors[:, 2] %= 10
    turned = factors + np.array([0, 0, 10, 0, 0], np.int32)
    turned[:, 3:] = [20, 31 - 5]
    before, after = (np.asarray(sprites.render_batch(f))[..., 0] for f in (factors, turned))
    # float32 cosines of angles a quarter turn apart differ by 1e-7, times 32 pixels.
    np.testing.assert_allclose(after, np.rot90(before, axes=(1, 2)), atol=2e-5)


@pytest.mark.parametrize(("shape", "period"), [(0, 10), (1, 20), (2, 40)])
def test_symmetric_shapes_repeat_and_nothing_else_does(shape, period, centred):
    factors, images = centred
    images = images[factors[:, 0] == shape].reshape(6, 40, 64, 64)
    np.testing.assert_array_equal(images, np.roll(images, period, axis=1))
    changed = [np.abs(images - np.roll(images, k, axis=1)).max() for k in range(1, period)]
    assert min(changed) > 0.1


@pytest.mark.parametrize("binary", [False, True])
def test_all_430080_images_differ(centred, binary):
    # Position only shifts (tested above), so it is enough that what is left after cutting away
    # the empty margin differs: 6 scales × (10 + 20 + 40) orientations.
    images = np.round(255 * centred[1]).astype(np.uint8)
    images = np.where(images > 127, 255, 0) if binary else images

    def cut(image):
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        inside = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return inside.shape, inside.tobytes()

    assert len({cut(image) for image in images}) == 6 * (10 + 20 + 40)


def test_batches_uint8_jit_and_vmap_draw_the_same():
    factors = sprites.index_to_factors(np.random.default_rng(1).integers(0, NUM_IMAGES, 50))
    singly = np.stack([sprites.render(f) for f in factors])
    # Other fusions of the same float32 sums differ by rounding: 32 pixels × 6e-8, doubled.
    batch = np.asarray(sprites.render_batch(factors))
    np.testing.assert_allclose(batch, singly, atol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(sprites.render))(factors), singly, atol=1e-5)
    whole = np.asarray(sprites.render_uint8(factors))
    assert whole.dtype == np.uint8
    np.testing.assert_allclose(whole / 255, singly, atol=0.5 / 255 + 1e-5)
    assert batch.min() == 0
    assert batch.max() == 1


def test_index_and_factors_are_inverse():
    index = np.arange(NUM_IMAGES)
    factors = sprites.index_to_factors(index)
    np.testing.assert_array_equal(sprites.factors_to_index(factors), index)
    # Mixed radix with the last digit fastest, spelled out.
    weights = [6 * 40 * 32 * 32, 40 * 32 * 32, 32 * 32, 32, 1]
    np.testing.assert_array_equal(factors @ weights, index)
    assert factors.min(0).tolist() == [0] * 5
    assert factors.max(0).tolist() == [2, 5, 39, 31, 31]
    assert NUM_IMAGES == 737_280


@given(st.tuples(*(st.integers(0, size - 1) for size in FACTOR_SIZES)))
def test_one_setting_goes_round(factors):
    index = sprites.factors_to_index(np.array(factors, np.int32))
    assert tuple(sprites.index_to_factors(int(index)).tolist()) == factors


def test_canonical_draws_the_same_bits():
    factors = np.asarray(sprites.sample_factors(jax.random.key(0), 300))
    first = sprites.canonical(factors)
    assert (first[:, 2] < np.array([10, 20, 40])[first[:, 0]]).all()
    np.testing.assert_array_equal(sprites.render_uint8(factors), sprites.render_uint8(first))


def test_sampled_factors_are_uniform_and_seeded():
    n = 50_000
    factors = np.asarray(sprites.sample_factors(jax.random.key(3), n))
    for column, size in enumerate(FACTOR_SIZES):
        counts = np.bincount(factors[:, column], minlength=size)
        assert len(counts) == size
        statistic = ((counts - n / size) ** 2).sum() / (n / size)
        assert statistic < chi2.ppf(0.999, size - 1)
    # Independence of the two factors with the largest table, in the same way.
    table = np.bincount(factors[:, 2] * 32 + factors[:, 3], minlength=1280)
    assert ((table - n / 1280) ** 2).sum() / (n / 1280) < chi2.ppf(0.999, 1279)
    np.testing.assert_array_equal(factors, sprites.sample_factors(jax.random.key(3), n))
    assert (factors != np.asarray(sprites.sample_factors(jax.random.key(4), n))).any()


def test_stream_gives_every_setting_once(monkeypatch):
    empty = np.zeros((50_000, 64, 64, 1), np.uint8)  # drawing is tested elsewhere
    monkeypatch.setattr(sprites, "render_uint8", lambda factors: empty[: len(factors)])
    factors = [batch.factors for batch in sprites.stream(50_000, seed=1)]
    assert [len(f) for f in factors] == [50_000] * 14 + [37_280]
    index = sprites.factors_to_index(np.concatenate(factors))
    np.testing.assert_array_equal(np.sort(index), np.arange(NUM_IMAGES))
    assert (np.diff(index) != 1).any()


def test_stream_resumes_where_it_stopped():
    start = NUM_IMAGES - 300
    tail = list(sprites.stream(128, seed=5, start=start))
    assert [len(batch) for batch in tail] == [128, 128, 44]
    again = next(sprites.stream(128, seed=5, start=start + 128))
    np.testing.assert_array_equal(again.x, tail[1].x)
    np.testing.assert_array_equal(again.factors, tail[1].factors)
    np.testing.assert_array_equal(again.y, again.factors[:, 0])
    np.testing.assert_array_equal(again.x, sprites.render_uint8(again.factors))
    other = next(sprites.stream(128, seed=6, start=start + 128))
    assert (other.factors != again.factors).any()
    assert list(sprites.stream(128, start=NUM_IMAGES)) == []


@pytest.mark.slow
def test_dataset_of_sprites_has_no_image_twice():
    data = load_dataset("sprites")
    assert [len(split) for split in data.splits.values()] == [20_000, 2_000, 2_000]
    assert (data.shape, data.num_classes, data.class_names) == (
        (64, 64, 1),
        3,
        ("square", "ellipse", "heart"),
    )
    images = {image.tobytes() for split in data.splits.values() for image in split.x}
    assert len(images) == 24_000
    for split in data.splits.values():
        assert split.factors is not None
        np.testing.assert_array_equal(split.y, split.factors[:, 0])
        some = split.factors[:50]
        np.testing.assert_array_equal(split.x[:50], sprites.render_uint8(some))


@pytest.mark.parametrize(("column", "name"), list(enumerate(FACTOR_NAMES)))
@pytest.mark.parametrize("below", [True, False])
def test_factors_off_the_grid_are_refused(column, name, below):
    factors = np.zeros(5, np.int32)
    factors[column] = -1 if below else FACTOR_SIZES[column]
    message = f"{name} = {factors[column]}; expected 0 <= {name} < {FACTOR_SIZES[column]}"
    with pytest.raises(ValueError, match=message):
        sprites.render(factors)
    with pytest.raises(ValueError, match=message):
        sprites.render_batch(jnp.asarray(factors)[None])
    with pytest.raises(ValueError, match=message):
        sprites.factors_to_index(factors)


def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"index -1 is out of bounds for array with size 737280"):
        sprites.index_to_factors(np.array([-1, 3]))
    with pytest.raises(ValueError, match=r"index 737280 is out of bounds"):
        sprites.index_to_factors(737_280)
    with pytest.raises(ValueError, match=r"batch_size=0.*at least 1"):
        sprites.stream(0)
    with pytest.raises(ValueError, match=r"start=737281.*expected 0 <= start <= 737280"):
        sprites.stream(8, start=737_281)
