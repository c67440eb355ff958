"""Folders of image files, and what their pixels become."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped

from workshop.generative_models.data.arrays import Part, Source
from workshop.generative_models.data.rows import Read, Rows, select, too_large

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
# Named, so that a file that only calls itself .png is never handed to a PostScript interpreter.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
LOOKED_AT = 64
"""So many files, evenly spaced, tell how large a folder's images are and if any is coloured."""
SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


def read_folder(
    folder: Path, image_size: tuple[int, int] | None, where: str, *, on_disk: bool = False
) -> Source:
    """Reads FOLDER/*.png, FOLDER/CLASS/*.png, or either of them in train/, validation/, test/.

    Classes are labelled in sorted order. Files of other kinds and hidden ones are passed over.
    """
    parts = _find(folder, where)
    classes = sorted({label for files in parts.values() for label in files.values() if label})
    indices = {label: i for i, label in enumerate(classes)}
    every = [file for files in parts.values() for file in files]

    def read(indices: np.ndarray) -> np.ndarray:
        files = [every[i] for i in indices]
        names = (os.fspath(file.relative_to(folder)) for file in files)
        return stack(names, _parallel(lambda file: read_image(file, image_size), files), where)

    x = in_memory_or_on_disk(read, len(every), where, on_disk=on_disk)
    result, start = {}, 0
    for key, files in parts.items():
        names = tuple(file.relative_to(folder).as_posix() for file in files)
        y = np.array([indices[label] for label in files.values()]) if classes else None
        result[key] = Part(select(x, slice(start, start + len(files))), y, names=names)
        start += len(files)
    return Source(result, tuple(classes) or None)


def in_memory_or_on_disk(
    read: Read, count: int, what: str, *, on_disk: bool = False
) -> np.ndarray | Rows:
    """All examples, or where they are too many for the memory, `Rows` that read them."""
    every = np.arange(count)
    if not on_disk and not too_large(count * read(every[:1]).nbytes):
        return read(every)
    like = read(every[:: max(1, count // LOOKED_AT)])[0]

    def some(indices: np.ndarray) -> np.ndarray:
        x = read(indices)
        same = x.shape[1:-1] == like.shape[:-1] and x.dtype == like.dtype
        if not same or x.shape[-1] not in (1, like.shape[-1]):
            raise ValueError(
                f"{what}: the examples {indices[0]} to {indices[-1]} have shape {x.shape[1:]} "
                f"{x.dtype}, but those looked at first {like.shape} {like.dtype}; expected one "
                "kind, and one size of images: image_size=(HEIGHT, WIDTH) resizes all"
            )
        return np.broadcast_to(x, (len(x), *like.shape))

    return Rows(some, every, like.shape, like.dtype)


def first_image(folder: Path, image_size: tuple[int, int] | None, where: str) -> np.ndarray:
    """The pixels of the first file of the training part."""
    return read_image(next(iter(_find(folder, where)["train"])), image_size)


def _find(folder: Path, where: str) -> dict[str, dict[Path, str]]:
    """For each part the files and their class, "" without one, in sorted order."""
    inner = [entry.name for entry in folder.iterdir() if entry.is_dir() and _visible(entry.name)]
    if "train" in inner and set(inner) <= set(SPLIT_NAMES):
        parts = {SPLIT_NAMES[name]: _find_classes(folder / name, where) for name in sorted(inner)}
        if len(parts) < len(inner):
            raise ValueError(f"{where}: found folders {sorted(inner)}; expected one validation/")
    elif set(inner) & set(SPLIT_NAMES):
        raise ValueError(
            f"{where}: found folders {sorted(inner)}; expected train/ with validation/ and test/ "
            "if there are any, or class folders alone (a class named train goes inside train/)"
        )
    else:
        parts = {"train": _find_classes(folder, where)}
    if len({"" in files.values() for files in parts.values()}) > 1:
        raise ValueError(f"{where}: some splits have class folders; expected all or none")
    return parts


def _find_classes(folder: Path, where: str) -> dict[Path, str]:
    inside = sorted(folder.rglob("*"))
    files = [file for file in inside if file.suffix.lower() in SUFFIXES and file.is_file()]
    paths = {file: file.relative_to(folder) for file in files}
    labels = {
        file: path.parts[0] if len(path.parts) > 1 else ""
        for file, path in paths.items()
        if all(_visible(part) for part in path.parts)
    }
    if not labels:
        raise ValueError(f"{where}: no images in {folder}; expected {', '.join(SUFFIXES)} files")
    if "" in labels.values() and len(set(labels.values())) > 1:
        loose = next(file for file, label in labels.items() if not label)
        raise ValueError(
            f"{where}: {loose.name} lies beside class folders; expected every image in a class "
            "folder, or none"
        )
    return labels


def _visible(name: str) -> bool:
    return not name.startswith(".")


def _parallel(read: Callable[[Path], np.ndarray], files: Iterable[Path]) -> Iterable[np.ndarray]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside of the lock
        yield from pool.map(read, files)


def stack(names: Iterable[str], pixels: Iterable[np.ndarray], where: str) -> np.ndarray:
    """One array of images of one size and kind; grey ones among coloured ones become coloured."""
    images: list[np.ndarray] = []
    first = ""
    for name, image in zip(names, pixels, strict=True):
        first = first or name
        if images and image.shape[:2] != images[0].shape[:2]:
            raise ValueError(
                f"{where}: {name} is {_size(image)} but {first} is {_size(images[0])} (height × "
                f"width); expected one size: image_size={images[0].shape[:2]} resizes all"
            )
        if images and image.dtype != images[0].dtype:
            raise ValueError(
                f"{where}: {name} is {_depth(image)} but {first} is {_depth(images[0])}; expected "
                "one depth"
            )
        images.append(image)
    channels = max(image.shape[-1] for image in images)
    return np.stack([np.broadcast_to(image, (*image.shape[:2], channels)) for image in images])


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}×{image.shape[1]}"


def _depth(image: np.ndarray) -> str:
    return "8-bit" if image.dtype == np.uint8 else "16-bit"


def read_image(file: Path, image_size: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of one file; see `pixels`.

    Raises:
        ValueError: If it is no image, is cut short, or is of a kind that is refused.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=FORMATS) as image:
            frames = count_frames(image)
            upright = ImageOps.exif_transpose(image)
    except Exception as error:  # decoders raise all sorts of things on a broken file
        raise ValueError(
            f"{file}: cannot be read as an image ({type(error).__name__}: {error})"
        ) from error
    return pixels(upright, frames, str(file), image_size)


def count_frames(image: Image) -> int:
    """How many frames there are; a photo with a preview in it (MPO) is one photo."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def pixels(
    image: Image, frames: int, name: str, image_size: tuple[int, int] | None = None
) -> Shaped[np.ndarray, "h w c"]:
    """The pixels of an upright image, (h, w, 1) if it is grey and (h, w, 3) if coloured.

    8-bit images are uint8; 16-bit grey ones are float32, divided by 65,535.

    Raises:
        ValueError: If it is animated, partly transparent or holds 32-bit numbers.
    """
    if frames > 1:
        raise ValueError(f"{name}: has {frames} frames; expected one image in a file")
    if image.mode.startswith("I;16"):
        array = np.asarray(image).astype(np.float32)[..., None] / 65535
    elif image.mode in ("I", "F"):
        raise ValueError(
            f"{name}: holds 32-bit numbers; expected 8 or 16 bits: save the pixels, scaled to "
            "[0, 1], as one .npy file of shape (n, h, w)"
        )
    else:
        array = _eight_bit(image, name)
    return array if image_size is None else resize(array, image_size)


def _eight_bit(image: Image, name: str) -> np.ndarray:
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA"))
        if rgba[..., 3].min() < 255:
            raise ValueError(
                f"{name}: is transparent in places; expected opaque images: draw it on a "
                "background first (Pillow: Image.alpha_composite)"
            )
        grey = image.mode != "RGBA" and (rgba[..., :1] == rgba[..., :3]).all()
        return rgba[..., :1] if grey else rgba[..., :3]
    return np.asarray(image.convert("RGB"))


def resize(x: Shaped[np.ndarray, "h w c"], size: tuple[int, int]) -> Shaped[np.ndarray, "h2 w2 c"]:
    """Resizes to (height, width), uint8 or float32, smoothing where it gets smaller."""
    from PIL import Image

    height, width = size
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(x, -1, 0)]
    smooth = Image.Resampling.BILINEAR
    return np.stack([np.asarray(p.resize((width, height), smooth)) for p in planes], axis=-1)
