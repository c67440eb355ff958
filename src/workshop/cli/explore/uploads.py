"""Files from a person's disk, as one example that a model reads; anything else gets a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

from workshop.generative_models.core.numbers import as_numbers, kind_of
from workshop.generative_models.data.pixels import FORMATS, count_frames, pixels_of, resize
from workshop.generative_models.evaluation.outputs import scaled

MOST_BYTES = 20 * 2**20
"""Larger files are refused unread."""
_MOST_PIXELS = 16 * 10**6
"""Images with more pixels are refused from their header: the file may be small and they not."""
GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue (ITU-R BT.601), as Pillow's."""


def read_upload(
    name: str, content: bytes, shape: tuple[int, ...], *, fit: bool, binarize: bool = False
) -> Float[np.ndarray, "..."]:
    """Return the content of a file as one example, pixels in [0, 1].

    Args:
        name: name of the file, for errors.
        content: an image, or for a model of vectors a .npy file with one vector.
        shape: of one example: (height, width, channels) or (features,).
        fit: resize and convert an image of another size or colour instead of refusing it.
        binarize: threshold at one half, as the run's data was.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(
            f"{name} has {len(content) / 2**20:.0f} MiB: expected at most {MOST_BYTES // 2**20}"
        )
    if len(shape) == 3:
        return _fitted(name, _read_image(name, content), shape, fit, binarize)
    return _read_vector(name, content, shape)


def _read_image(name: str, content: bytes) -> np.ndarray:
    damage = f"{name} is a damaged image"
    with _decoding(f"{name} is no image that can be read: expected PNG or JPEG", name):
        image = Image.open(BytesIO(content), formats=FORMATS)  # reads the header only
    with image:
        wide, high = image.size
        if wide * high > _MOST_PIXELS:
            raise ValueError(_too_many(name, f"{wide} × {high} pixels"))
        with _decoding(damage, name):
            frames = count_frames(image)
            upright = image if frames > 1 else ImageOps.exif_transpose(image)
        found = pixels_of(upright, frames, name)
    return scaled(found)


@contextmanager
def _decoding(sentence: str, name: str) -> Iterator[None]:
    """Say a sentence in place of all the sorts of things that decoders raise on a broken file."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(_too_many(name, "far too many pixels")) from None
    except Exception:
        raise ValueError(sentence) from None


def _too_many(name: str, how_many: str) -> str:
    return f"{name} has {how_many}: expected at most {_MOST_PIXELS // 10**6} million"


def _fitted(
    name: str, image: np.ndarray, shape: tuple[int, ...], fit: bool, binarize: bool
) -> np.ndarray:
    if image.shape != shape and not (fit and shape[-1] in (1, 3)):
        given, wanted = ("×".join(map(str, sizes)) for sizes in (image.shape, shape))
        hint = "; switch on “make it fit”" if shape[-1] in (1, 3) else ""
        raise ValueError(
            f"{name} is {given}, but the model reads {wanted} (height × width × channels){hint}"
        )
    if image.shape[-1] > shape[-1]:
        image = (image @ GREY)[..., None]
    image = np.broadcast_to(image, (*image.shape[:2], shape[-1]))
    if image.shape[:2] != shape[:2]:
        image = resize(image, shape[:2])  # type: ignore[arg-type]
    image = np.clip(image, 0, 1).astype(np.float32)
    return (image > 0.5).astype(np.float32) if binarize else image


def _read_vector(name: str, content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.load(BytesIO(content), allow_pickle=False)
    except Exception:  # numpy's parser raises all sorts of things on other files
        raise ValueError(f"{name} is no .npy file of numbers, which this model reads") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is a .npz file: expected .npy, one array")
    if kind_of(array.dtype) not in "bif":
        raise ValueError(f"{name} is no .npy file of numbers, but of {array.dtype}")
    array = as_numbers(name, array)
    if array.shape not in (shape, (1, *shape)):
        raise ValueError(f"{name} has shape {array.shape}: the model reads {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    return scaled(array).reshape(shape)
