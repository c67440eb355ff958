"""What the pixels of image files become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Shaped

if TYPE_CHECKING:
    from PIL.Image import Image

# Named, so that a file that only calls itself .png is never handed to a PostScript interpreter.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF")
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "La": 1, "P": None, "PA": None}
_TRANSPOSED = (5, 6, 7, 8)  # values of the EXIF orientation that turn height into width
_ORIENTATION = 0x0112


class Header(NamedTuple):
    """(height, width), upright; 1 or 3 channels, None for a palette; the type of the pixels."""

    size: tuple[int, int]
    channels: int | None
    dtype: np.dtype


def read_header(file: Path) -> Header:
    """Reads what is known of an image file without decoding it."""
    with _opened(file) as image:
        mode, frames, (width, height) = image.mode, count_frames(image), image.size
        # The size of a TIFF is upright; asking a PNG for EXIF data that it may not have would
        # decode the pixels.
        if image.format != "TIFF" and {"exif", "xmp", "XML:com.adobe.xmp"} & set(image.info):
            turned = image.getexif().get(_ORIENTATION) in _TRANSPOSED
            width, height = (height, width) if turned else (width, height)
    _check_kind(mode, frames, str(file))
    deep = mode.startswith("I;16")
    channels = 1 if deep else _CHANNELS.get(mode, 3)
    return Header((height, width), channels, np.dtype(np.float32 if deep else np.uint8))


def read_image(file: Path, image_size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of one file; see `pixels_of`."""
    from PIL import ImageOps

    with _opened(file) as image:
        frames = count_frames(image)
        upright = ImageOps.exif_transpose(image)
    return pixels_of(upright, frames, str(file), image_size)


@contextmanager
def _opened(file: Path) -> Iterator[Image]:
    from PIL import Image

    try:
        with Image.open(file, formats=FORMATS) as image:
            yield image
    except Exception as error:  # decoders raise all sorts of things on a broken file
        raise ValueError(
            f"{file}: cannot be read as an image ({type(error).__name__}: {error})"
        ) from error


def count_frames(image: Image) -> int:
    """How many frames there are; a photo with a preview in it (MPO) is one photo."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def pixels_of(
    image: Image, frames: int, name: str, image_size: tuple[int, int] | None = None
) -> Shaped[np.ndarray, "h w c"]:
    """The pixels of an upright image, (h, w, 1) if it is grey and (h, w, 3) if coloured.

    8-bit images are uint8; 16-bit grey ones are float32, divided by 65,535. A palette of greys is
    grey.
    """
    _check_kind(image.mode, frames, name)
    if image.mode.startswith("I;16"):
        array = np.asarray(image).astype(np.float32)[..., None] / 65535
    else:
        array = _eight_bit(image, name)
    return array if image_size is None else resize(array, image_size)


def _check_kind(mode: str, frames: int, name: str) -> None:
    if frames > 1:
        raise ValueError(f"{name}: has {frames} frames; expected one image in a file")
    if mode in ("I", "F"):
        raise ValueError(
            f"{name}: holds 32-bit numbers; expected 8 or 16 bits: save the pixels, scaled to "
            "[0, 1], as one .npy file of shape (n, h, w)"
        )
    if mode == "LAB":
        raise ValueError(f"{name}: is a LAB image; expected grey, RGB or CMYK")


def _eight_bit(image: Image, name: str) -> np.ndarray:
    transparency = "transparency" in image.info
    if image.mode in ("1", "L") and not transparency:
        return np.asarray(image.convert("L"))[..., None]
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or transparency:
        rgba = np.asarray(image.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            raise ValueError(
                f"{name}: is transparent in places; expected opaque images: draw it on a "
                "background first (Pillow: Image.alpha_composite)"
            )
        grey = image.mode not in ("RGB", "RGBA", "RGBa") and (rgba[..., :1] == rgba[..., :3]).all()
        return rgba[..., :1] if grey else rgba[..., :3]
    return np.asarray(image.convert("RGB"))


def resize(x: Shaped[np.ndarray, "h w c"], size: tuple[int, int]) -> Shaped[np.ndarray, "h2 w2 c"]:
    """Resizes to (height, width), uint8 or float32, smoothing where it gets smaller."""
    from PIL import Image

    height, width = size
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(x, -1, 0)]
    smooth = Image.Resampling.BILINEAR
    return np.stack([np.asarray(p.resize((width, height), smooth)) for p in planes], axis=-1)
