"""Image files of one size and kind, as arrays or read from disk as they are needed."""

import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from workshop.generative_models.data.arrays import Part, Source
from workshop.generative_models.data.folders import Parts, class_names, find
from workshop.generative_models.data.pixels import Header, read_header, read_image
from workshop.generative_models.data.rows import Rows, select, too_large

_NAMED = 5
"""How many files that cannot be used an error names."""

_T = TypeVar("_T")


class _Kind(NamedTuple):
    """What the images of a folder have in common: (height, width, channels) and a dtype."""

    shape: tuple[int, ...]
    dtype: np.dtype


def read_folder(
    folder: Path,
    image_size: tuple[int, int] | None,
    where: str,
    *,
    on_disk: bool = False,
    skip_unusable: bool = False,
) -> Source:
    """Reads the images of a folder; see `load_dataset`.

    Every header is read first, so that sizes, depths and broken files are told before training.
    """
    parts, notes = find(folder, where)
    every = [file for files in parts.values() for file in files]
    kind, broken = _look(every, image_size, where)
    on_disk = on_disk or too_large(math.prod(kind.shape) * kind.dtype.itemsize * len(every))
    if broken and not skip_unusable and on_disk:
        raise _unusable(broken, len(every), where)
    read = functools.partial(_read, kind=kind, image_size=image_size)
    usable = [file for file in every if file not in broken]
    if on_disk:
        if skip_unusable:  # which files are cut short is not known before they are decoded
            broken |= _attempt(lambda file: read(file).dtype, usable)[1]
            usable = [file for file in every if file not in broken]
        x = _rows(usable, read, kind, where)
    else:
        pixels, more = _attempt(read, usable)
        broken |= more
        if broken and not skip_unusable:
            raise _unusable(broken, len(every), where)
        usable = list(pixels)
        x = np.stack(list(pixels.values())) if pixels else np.empty((0, *kind.shape), kind.dtype)
    notes = (*notes, *([_skipped(broken, folder)] if broken else []))
    parts = {
        key: {file: label for file, label in files.items() if file not in broken}
        for key, files in parts.items()
    }
    return _source(parts, x, folder, notes)


def folder_shape(
    folder: Path, image_size: tuple[int, int] | None, where: str, *, skip_unusable: bool = False
) -> tuple[int, ...]:
    """The shape of one image, from the headers of all files."""
    parts, _ = find(folder, where)
    every = [file for files in parts.values() for file in files]
    kind, broken = _look(every, image_size, where)
    if broken and not skip_unusable:
        raise _unusable(broken, len(every), where)
    return kind.shape


def _source(parts: Parts, x: np.ndarray | Rows, folder: Path, notes: tuple[str, ...]) -> Source:
    classes = class_names(parts)
    indices = {label: i for i, label in enumerate(classes)}
    result, start = {}, 0
    for key, files in parts.items():
        names = tuple(file.relative_to(folder).as_posix() for file in files)
        y = np.array([indices[label] for label in files.values()], int) if classes else None
        result[key] = Part(select(x, slice(start, start + len(files))), y, names=names)
        start += len(files)
    return Source(result, classes or None, notes=notes)


def _look(
    files: Sequence[Path], image_size: tuple[int, int] | None, where: str
) -> tuple[_Kind, dict[Path, str]]:
    """What the images have in common, and the files whose header is broken, with the reason."""
    headers, broken = _attempt(read_header, files)
    if not headers:
        raise _unusable(broken, len(files), where)
    size = image_size or _one_size(headers, where)
    dtypes = {header.dtype: file for file, header in reversed(headers.items())}
    if len(dtypes) > 1:
        deep, plain = dtypes[np.dtype(np.float32)], dtypes[np.dtype(np.uint8)]
        raise ValueError(f"{where}: {deep} is 16-bit but {plain} is 8-bit; expected one depth")
    channels = 3 if any(header.channels == 3 for header in headers.values()) else 1
    if channels == 1:
        palettes = (file for file, header in headers.items() if header.channels is None)
        channels = 3 if any(_is_coloured(file) for file in palettes) else 1
    return _Kind((*size, channels), next(iter(dtypes))), broken


def _is_coloured(file: Path) -> bool:
    try:
        return read_image(file).shape[-1] == 3
    except ValueError:  # told when all are read
        return False


def _one_size(headers: dict[Path, Header], where: str) -> tuple[int, int]:
    sizes = Counter(header.size for header in headers.values()).most_common()
    if len(sizes) > 1:
        first = {header.size: file for file, header in reversed(headers.items())}
        said = "; ".join(f"{n:,} of {h}×{w}, such as {first[h, w]}" for (h, w), n in sizes[:3])
        height, width = sizes[0][0]
        raise ValueError(
            f"{where}: images of {len(sizes)} sizes (height × width): {said}; expected one size: "
            f"image_size=({height}, {width}), or --image-size {height} {width}, resizes all"
        )
    return sizes[0][0]


def _read(file: Path, *, kind: _Kind, image_size: tuple[int, int] | None) -> np.ndarray:
    image = read_image(file, image_size)
    if image.shape[:2] != kind.shape[:2] or image.dtype != kind.dtype:
        raise ValueError(
            f"{file}: is {image.shape[0]}×{image.shape[1]} {image.dtype} (height × width), not "
            f"{kind.shape[0]}×{kind.shape[1]} {kind.dtype} as its header says; save it anew"
        )
    return np.broadcast_to(image, kind.shape)


def _rows(files: list[Path], read: Callable[[Path], np.ndarray], kind: _Kind, where: str) -> Rows:
    def some(indices: np.ndarray) -> np.ndarray:
        chosen = [files[i] for i in indices]
        found, broken = _attempt(read, list(dict.fromkeys(chosen)))
        if broken:
            raise _unusable(broken, len(chosen), where)
        return np.stack([found[file] for file in chosen])

    return Rows(some, np.arange(len(files)), kind.shape, kind.dtype)


def _attempt(
    read: Callable[[Path], _T], files: Sequence[Path]
) -> tuple[dict[Path, _T], dict[Path, str]]:
    """What reading each file gives, and why the others can't be read."""

    def one(file: Path) -> Any:
        try:
            return read(file), None
        except ValueError as error:
            return None, str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside of the lock
        found = dict(zip(files, pool.map(one, files), strict=True))
    good = {file: value for file, (value, error) in found.items() if error is None}
    return good, {file: error for file, (_, error) in found.items() if error is not None}


def _unusable(broken: dict[Path, str], count: int, where: str) -> ValueError:
    reasons = [broken[file] for file in sorted(broken)]
    more = f"\n  and {len(reasons) - _NAMED:,} more" if len(reasons) > _NAMED else ""
    said = "\n  ".join(reasons[:_NAMED])
    return ValueError(
        f"{where}: {len(reasons):,} of {count:,} files cannot be used\n  {said}{more}\n"
        "Mend or remove them, or leave them out with skip_unusable=True (train --skip-unusable)"
    )


def _skipped(broken: dict[Path, str], folder: Path) -> str:
    names = [file.relative_to(folder).as_posix() for file in sorted(broken)][:_NAMED]
    more = ", ..." if len(broken) > _NAMED else ""
    return f"left out {len(broken):,} that cannot be used ({', '.join(names)}{more})"
