"""`load_dataset`: data by name, by path or from Hugging Face."""

import logging
import operator
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workshop.generative_models.core import checks
from workshop.generative_models.data import builtin, files, folders, hugging_face, images, pixels
from workshop.generative_models.data.arrays import (
    Source,
    build,
    check_kind,
    in_order,
    warn_of_missing_classes,
    whole,
)
from workshop.generative_models.data.dataset import Dataset, DatasetInfo, Split
from workshop.generative_models.data.rows import changed


def list_datasets() -> dict[str, DatasetInfo]:
    """The data sets known by name, what they hold and the extra they need; nothing is loaded.

    Examples:
        >>> list_datasets()["digits"].shape
        (8, 8, 1)
    """
    return dict(builtin.DATASETS)


def load_dataset(
    name: str | os.PathLike[str],
    *,
    seed: int = 0,
    binarize: bool = False,
    limit: int | None = None,
    image_size: tuple[int, int] | None = None,
    skip_unusable: bool = False,
) -> Dataset:
    """Loads a data set and splits it into train, validation and test.

    By name:

    - `digits`: scikit-learn's 1,797 handwritten digits, 8×8×1 in [0, 1] (ink / 16).
    - `sprites`: 24,000 of this package's 64×64×1 sprites, all different, with their factors and
      the shape as label; 20,000 train, 2,000 validation, 2,000 test. See `sprites.py`.
    - `mnist5k`: 5,000 MNIST digits, 28×28×1, 500 of each. The last 1,000 of a seeded order that
      spreads the digits evenly are the test examples, the 500 before them validation, and 3,500
      train: train and validation together are the 4,000 of a 4,000 / 1,000 split.
    - `faces`: 100 faces and 100 patches without one, 25×25×1.

    By path: a .npy file, (n, d), (n, h, w) or (n, h, w, c); a .npz file with x and perhaps y, or
    x_train, x_validation, x_test and y_...; a folder of images, or of class folders, or of train/,
    validation/ and test/ with either inside, in any case, or training/, val/, valid/, dev/,
    testing/. From Hugging Face: hf:NAME_OR_PATH?image=COLUMN&label=COLUMN&config=NAME, where the
    part after ? is only for what the types of the columns don't tell.

    Images of a folder are coloured, (h, w, 3), if any of them is: the headers of all are read.
    Palettes of greys, LA and 1-bit images are grey; CMYK becomes RGB; 16-bit grey is float32 in
    [0, 1], and is not mixed with 8-bit. Photos are turned upright by their EXIF data. Transparent
    and animated images are refused, and so are images of several sizes without `image_size`.
    Symbolic links are followed. Hidden files and folders, `__MACOSX` and `@eaDir` are left out;
    other files that are not images, and class folders without images, are counted in `notes`.

    What a source doesn't split is split 80 / 10 / 10; a single missing validation or test is a
    tenth of train. Splits keep the shares of the classes.

    A .npy file, a folder or a Hugging Face data set whose examples would take more than a quarter
    of the memory stays on disk: `x` is then `Rows`, which are read, and checked, when they are
    indexed. `Trainer` streams them.

    Args:
        name: A name, a path or hf:...
        seed: Decides the split and the order of train.
        binarize: Makes x black and white: 255 where it is above one half and 0 elsewhere.
        limit: Keeps only that many training examples (validation and test stay whole).
        image_size: Resizes images to (height, width).
        skip_unusable: Leaves out the image files of a folder that can't be read, are transparent,
            animated or hold 32-bit numbers, and counts them in `notes`; without it they are an
            error that names them.

    Raises:
        ValueError: If there is no such data, or it can't be used: the message says what was
            found and what to do.
        ImportError: If it needs an extra that is not installed.

    Examples:
        >>> load_dataset("digits")
        Dataset(digits (8 × 8 × 1, float32; train 1,437, validation 180, test 180; 10 classes))
    """
    name, where, image_size = _request("load_dataset", name, image_size)
    seed = whole(where, "seed", seed, 0)
    limit = None if limit is None else whole(where, "limit", limit, 1)
    source = _read(name, seed, image_size, where, skip_unusable=skip_unusable)
    dataset = build(name, source, seed=seed, where=where)
    if limit is not None:
        dataset = replace(dataset, train=dataset.train.take(slice(limit)))
        warn_of_missing_classes(dataset.splits, dataset.class_names, f"{where}, limit={limit}")
    return replace(dataset, **_prepared(dataset.splits, image_size, binarize, where))


def load_in_order(
    name: str | os.PathLike[str],
    *,
    seed: int = 0,
    binarize: bool = False,
    image_size: tuple[int, int] | None = None,
    skip_unusable: bool = False,
    on_disk: bool = False,
) -> tuple[dict[str, Split], tuple[str, ...] | None]:
    """Loads what `load_dataset` does, but as it lies there: every example, not shuffled or split.

    The arguments are those of `load_dataset`. What is left out is logged. With `on_disk` a folder,
    a .npy file or Hugging Face data stays where it is, however small: `x` is then `Rows`, and a
    pass over it needs no more memory than a batch.

    Returns:
        {"train": ...} for a source without splits, or those of train, validation and test it has;
        and the names of the classes, where the source knows them.

    Examples:
        >>> load_in_order("digits")[0]["train"]
        Split(1797 × (8, 8, 1) float32, y)
    """
    name, where, image_size = _request("load_in_order", name, image_size)
    seed = whole(where, "seed", seed, 0)
    source = _read(name, seed, image_size, where, on_disk=on_disk, skip_unusable=skip_unusable)
    for note in source.notes:
        logging.getLogger("workshop").warning("%s: %s", name, note)
    splits, class_names = in_order(source, where=where)
    return _prepared(splits, image_size, binarize, where), class_names


def data_shape(
    name: str | os.PathLike[str],
    *,
    image_size: tuple[int, int] | None = None,
    skip_unusable: bool = False,
) -> tuple[int, ...]:
    """The shape of one example of `load_dataset(name)`, found without loading all of it.

    Of a folder the headers of all images are read, of files of arrays the header.

    Raises:
        ValueError: As `load_dataset`.

    Examples:
        >>> data_shape("sprites")
        (64, 64, 1)
    """
    name, where, image_size = _request("data_shape", name, image_size)
    path = Path(os.path.expanduser(name))
    if name in builtin.DATASETS:
        shape = builtin.DATASETS[name].shape
    elif name.startswith("hf:"):
        shape = hugging_face.shape(name, image_size, where)[1:]
    elif name and os.path.isdir(path):
        shape = images.folder_shape(path, image_size, where, skip_unusable=skip_unusable)
    elif _holds_arrays(path):
        key, shape, dtype = files.header(path, where)
        check_kind(f"{where}: {key}", shape, dtype)
        shape = shape[1:]
    else:
        raise _unknown(name, where)
    shape = (*shape, 1) if len(shape) == 2 else shape
    return shape if image_size is None else (*image_size, shape[-1])


def class_count(
    name: str | os.PathLike[str],
    *,
    image_size: tuple[int, int] | None = None,
    skip_unusable: bool = False,
) -> int | None:
    """The number of classes of `load_dataset(name)`, or None; a folder's images are not read."""
    name = os.fspath(name)
    path = Path(os.path.expanduser(name))
    if name in builtin.DATASETS:
        return builtin.DATASETS[name].num_classes
    if name and os.path.isdir(path):
        parts, _ = folders.find(path, f"load_dataset({name!r})")
        return len(folders.class_names(parts)) or None
    data = load_dataset(name, image_size=image_size, skip_unusable=skip_unusable)
    return data.num_classes


def _holds_arrays(path: Path) -> bool:
    return path.suffix.lower() in (".npy", ".npz") and os.path.isfile(path)


def _read(
    name: str,
    seed: int,
    image_size: tuple[int, int] | None,
    where: str,
    *,
    on_disk: bool = False,
    skip_unusable: bool = False,
) -> Source:
    path = Path(os.path.expanduser(name))
    if name in builtin.DATASETS:
        source = builtin.read(name, seed)
        hidden = f"the data set of that name, not the one here, which is ./{name}"
        return source._replace(notes=(hidden,)) if os.path.isdir(name) else source
    if name.startswith("hf:"):
        return hugging_face.read(name, image_size, where, on_disk=on_disk)
    if name and os.path.isdir(path):
        return images.read_folder(
            path, image_size, where, on_disk=on_disk, skip_unusable=skip_unusable
        )
    if _holds_arrays(path):
        return files.read(path, where, on_disk=on_disk)
    raise _unknown(name, where)


def _prepared(
    splits: dict[str, Split], image_size: tuple[int, int] | None, binarize: bool, where: str
) -> dict[str, Split]:
    """Resizes and binarizes, where that is asked for and not done yet."""
    size = None if next(iter(splits.values())).shape[:2] == image_size else image_size

    def change(x: np.ndarray) -> np.ndarray:
        x = x if size is None else _resized(x, size, where)
        return _binarized(x, where) if binarize else x

    if size is None and not binarize:
        return splits
    return {key: replace(split, x=changed(split.x, change)) for key, split in splits.items()}


def _resized(x: np.ndarray, size: tuple[int, int], where: str) -> np.ndarray:
    if x.ndim != 4:
        raise ValueError(
            f"{where}: image_size={size} but the examples have shape {x.shape[1:]}; expected images"
        )
    return np.stack([pixels.resize(image, size) for image in x])


def _binarized(x: np.ndarray, where: str) -> np.ndarray:
    if x.dtype == np.uint8:
        return np.where(x > 127, np.uint8(255), np.uint8(0))
    if x.min() < 0 or x.max() > 1:
        raise ValueError(
            f"{where}: binarize=True but x spans {x.min():.4g}..{x.max():.4g}; expected [0, 1]"
        )
    return np.where(x > 0.5, np.uint8(255), np.uint8(0))


def _request(
    function: str, name: str | os.PathLike[str], image_size: Any
) -> tuple[str, str, tuple[int, int] | None]:
    """What was asked for: the name as a string, the call that begins errors, the size of images."""
    text = os.fspath(name) if isinstance(name, str | os.PathLike) else b""
    if not isinstance(text, str):
        kind = type(name).__name__
        way_out = "; from_arrays(x, y) takes arrays" if hasattr(name, "shape") else ""
        raise TypeError(f"{function}(name) got {kind}; expected a name, a path or hf:...{way_out}")
    where = f"{function}({text!r})"
    if image_size is None:
        return text, where, None
    try:
        height, width = (operator.index(side) for side in image_size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(
            f"{where}: image_size={image_size!r}; expected a height and width >= 1: "
            "image_size=(64, 64)"
        )
    return text, where, (height, width)


def _unknown(name: str, where: str) -> ValueError:
    """The error for a name that is no data, which lists what there is."""
    hint = checks.nearest(name.lower(), builtin.DATASETS)
    found = "no data set or file of that name"
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path) and path.suffix.lower() in folders.SUFFIXES:
        found = f"{path.name} is a single image; give the folder that holds it and others"
    elif os.path.isfile(path):
        found = f"a {path.suffix or 'nameless'} file is no data set"
    known = "\n".join(f"  {key:<13}{info.description}" for key, info in builtin.DATASETS.items())
    return ValueError(
        f"{where}: {found}{hint}\nExpected one of\n{known}\n"
        "  FILE.npy     one array, (n, d), (n, h, w) or (n, h, w, c)\n"
        "  FILE.npz     x and perhaps y, or x_train, x_validation, x_test and y_...\n"
        "  FOLDER       of images, class folders or train/, validation/, test/\n"
        "  hf:NAME      a Hugging Face data set, on the hub or in a local folder"
    )
