from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from workshop.cli.explore.pictures import VECTOR, Sheet, gif, paint, png, sheet_of, sized
from workshop.generative_models.visualization.scales import Scale

UNIT = Scale(0.0, 1.0)


def test_pixels_keep_their_values():
    x = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
    np.testing.assert_array_equal(paint(x, UNIT), x)
    np.testing.assert_array_equal(paint(x / np.float32(255), UNIT), x)
    grey = paint(x[..., :1], UNIT)
    np.testing.assert_array_equal(grey, np.repeat(x[..., :1], 3, axis=-1))


def test_other_values_lie_on_the_scale():
    x = np.array([-2.0, 0.0, 2.0, 9.0]).reshape(1, 2, 2, 1)
    assert paint(x, Scale(-2.0, 2.0))[0, ..., 0].tolist() == [[0, 128], [255, 255]]


def test_a_vector_is_drawn_as_steps_from_zero():
    picture = paint(np.array([[1.0, -1.0]]), Scale(-1.0, 1.0))[0]
    assert picture.shape == (*VECTOR, 3)
    blue = (picture == [0x3F, 0x90, 0xDA]).all(-1)
    up, down = np.argwhere(blue[:, :80])[:, 0], np.argwhere(blue[:, 80:])[:, 0]
    middle = VECTOR[0] / 2
    assert up.max() <= middle <= down.min()
    assert up.min() <= 4
    assert down.max() >= VECTOR[0] - 5


def test_png_and_gif_hold_the_pictures():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    with Image.open(BytesIO(png(pictures[0]))) as image:
        np.testing.assert_array_equal(np.asarray(image), pictures[0])
    grey = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (0, 100, 200, 250)])
    with Image.open(BytesIO(gif(grey, 16, 80))) as image:
        frames, times = [], set()
        for i in range(image.n_frames):
            image.seek(i)
            frames.append(int(np.asarray(image.convert("L"))[3, 3]))
            times.add(image.info["duration"])
        assert frames == [0, 100, 200, 250, 200, 100]  # there and back
        assert (image.size, times, image.info["loop"]) == ((16, 16), {80}, 0)
    with Image.open(BytesIO(gif(grey[:1], 16))) as image:
        assert image.n_frames == 1


def test_enlarging_is_by_whole_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    large = sized(picture, 22)
    np.testing.assert_array_equal(large[2::4, 2::4], picture)


def test_shrinking_takes_means():
    picture = np.random.default_rng(0).integers(0, 256, (4, 8, 3), np.uint8)
    means = picture.reshape(2, 2, 4, 2, 3).mean((1, 3))
    assert np.abs(sized(picture, 4) - means).max() <= 1  # Pillow rounds after each of its two axes


@pytest.mark.parametrize("number", range(7))
def test_a_tile_lies_where_it_was_drawn(number):
    pictures = np.stack([np.full((4, 6, 3), 10 * i, np.uint8) for i in range(7)])
    sheet, tiles = sheet_of(pictures, columns=3, size=12, gap=2)
    drawn = sheet.draw(tiles)
    y, x = np.argwhere((drawn == 10 * number).all(-1)).mean(0)
    assert sheet.at(x, y, 7) == number


@pytest.mark.parametrize("point", [(-1, 3), (3, -1), (37, 3), (25, 25), (3, 99)])
def test_beside_the_tiles_there_is_none(point):
    assert Sheet(columns=3, height=8, width=8, gap=2).at(*point, count=5) is None
