"""Arrays from .npy and .npz files. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from workshop.generative_models.data.arrays import SPLITS, Part, Source
from workshop.generative_models.data.folders import SPLIT_NAMES
from workshop.generative_models.data.rows import Rows, too_large

_EXPECTED = "x and perhaps y, or x_train and perhaps x_validation, x_test and the same with y"


def read_npy(path: Path, where: str, *, on_disk: bool = False) -> Source:
    """One array of examples: (n, d), (n, h, w) or (n, h, w, c); a large one stays on disk."""
    array = _load(path, where)
    if array.ndim < 2 or not (on_disk or too_large(array.nbytes)):
        return Source({"train": Part(np.array(array))})
    rows = Rows(lambda i: np.asarray(array[i]), np.arange(len(array)), array.shape[1:], array.dtype)
    return Source({"train": Part(rows)})


def read_npz(path: Path, where: str) -> Source:
    """Named arrays: x and y, or x_train, x_validation, x_test and y_train, ..."""
    arrays = read_arrays(path, where)
    keys = _part_keys(list(arrays), where)
    return Source(
        {part: Part(arrays[f"x{end}"], arrays.get(f"y{end}")) for part, end in keys.items()}
    )


def read_arrays(path: Path, where: str) -> dict[str, np.ndarray]:
    """All arrays of a .npz file by name, or {"x": the one of a .npy file}."""
    if path.suffix.lower() == ".npy":
        return {"x": np.array(_load(path, where))}
    with _open_npz(path, where) as file:
        return {key: _member(file, key, where) for key in file.files}


def npy_header(path: Path, where: str) -> tuple[str, tuple[int, ...], np.dtype]:
    """The name, shape and type of the array in the file, which is called x."""
    array = _load(path, where)
    return "x", array.shape, array.dtype


def npz_header(path: Path, where: str) -> tuple[str, tuple[int, ...], np.dtype]:
    """The key of the training examples in the file, their shape and their type."""
    with _open_npz(path, where) as file:
        key = f"x{_part_keys(file.files, where)['train']}"
    # Opened here, so that it is closed even where zipfile fails half way through a broken file.
    with (
        path.open("rb") as raw,
        _reading(f"{where}: {path}"),
        zipfile.ZipFile(raw) as archive,
        archive.open(f"{key}.npy") as member,
    ):
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    return key, shape, dtype


def _part_keys(keys: list[str], where: str) -> dict[str, str]:
    """The ending of the keys of each part: {"train": ""} or {"train": "_train", ...}."""
    if "x" in keys and set(keys) <= {"x", "y"}:
        return {"train": ""}
    endings = [key[1:] for key in keys if key.startswith("x_") and key[2:] in SPLIT_NAMES]
    parts = {SPLIT_NAMES[ending[1:]]: ending for ending in endings}
    known = {f"{field}{ending}" for field in "xy" for ending in endings}
    if "train" not in parts or len(parts) < len(endings) or not set(keys) <= known:
        raise ValueError(
            f"{where}: holds the arrays {', '.join(sorted(keys)) or '(none)'}; expected "
            f"{_EXPECTED}: numpy.savez(path, x=images, y=labels)"
        )
    return {part: parts[part] for part in SPLITS if part in parts}


def _load(path: Path, where: str) -> np.ndarray:
    """The array in the file, not yet read."""
    with _reading(f"{where}: {path}"):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(f"{where}: {path} is a .npz file; expected that ending")
    return array


@contextmanager
def _open_npz(path: Path, where: str) -> Iterator[np.lib.npyio.NpzFile]:
    with path.open("rb") as raw:  # np.load does not close a file that it finds broken
        with _reading(f"{where}: {path}"):
            file = np.load(raw, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError(f"{where}: {path} is a .npy file; expected that ending")
        with file:
            yield file


def _member(file: np.lib.npyio.NpzFile, key: str, where: str) -> np.ndarray:
    with _reading(f"{where}: {key}"):
        return np.asarray(file[key])


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Names the file in whatever zipfile, zlib and numpy's parser raise on a broken one."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{what} cannot be read ({type(error).__name__}: {error}); expected plain numbers or "
            "strings written by numpy.save or numpy.savez: pickled objects are refused, since "
            "loading them can run code"
        ) from error
