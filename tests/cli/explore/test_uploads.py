from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workshop.cli.explore.uploads import MOST_BYTES, read_upload

GREY = (8, 8, 1)


def file(image, **options):
    content = BytesIO()
    image.save(content, format=options.pop("format", "PNG"), **options)
    return content.getvalue()


def array(x):
    content = BytesIO()
    np.save(content, x)
    return content.getvalue()


PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
RED = Image.new("RGB", (20, 10), (255, 0, 0))


def test_an_image_of_the_right_shape_is_its_pixels():
    found = read_upload("a.png", file(Image.fromarray(PIXELS)), GREY, fit=False)
    np.testing.assert_array_equal(found[..., 0], PIXELS / np.float32(255))
    assert found.dtype == np.float32
    black = read_upload("a.png", file(Image.fromarray(PIXELS)), GREY, fit=False, binarize=True)
    np.testing.assert_array_equal(black[..., 0], PIXELS > 127)


def test_made_to_fit():
    """Red is grey at ITU-R BT.601's 0.299, grey in colours is all three."""
    found = read_upload("a.png", file(RED), GREY, fit=True)
    np.testing.assert_allclose(found, np.full(GREY, 0.299), atol=1e-6)
    colours = read_upload("a.png", file(Image.fromarray(PIXELS)), (8, 8, 3), fit=True)
    np.testing.assert_array_equal(colours, np.repeat(PIXELS[..., None], 3, -1) / np.float32(255))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"just some text", "a.png is no image that can be read"),
        (b"", "no image that can be read"),
        (file(RED), "is 10×20×3, but the model reads 8×8×1 .*make it fit"),
        (lambda: file(Image.new("L", (10_000, 5_000))),
         "10000 × 5000 pixels: expected at most 16 million"),
        (lambda: file(Image.new("1", (16_000, 16_000))),
         "too many pixels: expected at most 16 million"),
        (file(Image.fromarray(PIXELS))[:60], "is a damaged image"),
        (lambda: bytes(MOST_BYTES + 1), "has 20 MiB: expected at most 20"),
        (file(Image.fromarray(PIXELS), format="GIF", save_all=True,
              append_images=[Image.fromarray(255 - PIXELS)]), "has 2 frames"),
        (file(Image.new("RGBA", (8, 8), (9, 9, 9, 100))), "is transparent in places"),
        (file(Image.new("F", (8, 8)), format="TIFF"), "32-bit numbers"),
    ],
    ids=["text", "empty", "shape", "50 million pixels", "256 million pixels", "cut short",
         "20 MiB", "animated", "transparent", "float"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_other_files_get_a_sentence(content, sentence):
    content = content() if callable(content) else content  # large ones are made here alone
    with pytest.raises(ValueError, match=sentence) as caught:
        read_upload("a.png", content, GREY, fit=False)
    assert str(caught.value).startswith("a.png ") or str(caught.value).startswith("a.png:")


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_get_a_sentence_or_an_image(content, png):
    """Also bytes that begin as a PNG does."""
    head = file(Image.fromarray(PIXELS))[:40] if png else b""
    for shape in (GREY, (5,)):
        with pytest.raises(ValueError, match=r"^a\.png"):
            read_upload("a.png", head + content, shape, fit=True)


def test_a_vector_is_a_npy_file():
    x = np.arange(5.0)
    np.testing.assert_array_equal(read_upload("a.npy", array(x), (5,), fit=False), x)
    np.testing.assert_array_equal(read_upload("a.npy", array(x[None]), (5,), fit=False), x)
    # Bytes are k / 255, as for `fit`.
    scaled = read_upload("a.npy", array(np.arange(5, dtype=np.uint8)), (5,), fit=False)
    np.testing.assert_allclose(scaled, x / 255, rtol=1e-6)
    objects = BytesIO()
    np.save(objects, np.array([{}], object), allow_pickle=True)
    for content, sentence in (
        (array(np.ones(4)), r"has shape \(4,\): the model reads \(5,\)"),
        (array(np.full(5, np.nan)), "not finite"),
        (array(np.full(5, 2**40 + 1)), "holds the integer 1099511627777"),
        (array(np.ones(5) * 1j), "no .npy file of numbers, but of complex128"),
        (array(np.array(["a"] * 5)), "no .npy file of numbers"),
        (objects.getvalue(), "no .npy file of numbers"),
        (b"text", "no .npy file of numbers"),
    ):
        with pytest.raises(ValueError, match=sentence):
            read_upload("a.npy", content, (5,), fit=False)
