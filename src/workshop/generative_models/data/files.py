"""Arrays from .npy and .npz files. Nothing is ever unpickled."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from workshop.generative_models.data.arrays import SPLITS, Part, Source
from workshop.generative_models.data.folders import SPLIT_NAMES
from workshop.generative_models.data.rows import Rows, too_large

_EXPECTED = "x and perhaps y, or x_train and perhaps x_validation, x_test and the same with y"


def read(path: Path, where: str, *, on_disk: bool = False) -> Source:
    """The examples of a .npy file, of which a large one stays on disk, or the parts of a .npz file.

    A .npz file holds x and perhaps y, or x_train, x_validation, x_test and y_train, ...
    """
    if path.suffix.lower() == ".npz":
        arrays = read_arrays(path, where)
        keys = _part_keys(list(arrays), where)
        return Source(
            {part: Part(arrays[f"x{end}"], arrays.get(f"y{end}")) for part, end in keys.items()}
        )
    array = _load(path, where)
    if array.ndim < 2 or not (on_disk or too_large(array.nbytes)):
        return Source({"train": Part(np.array(array))})
    rows = Rows(lambda i: np.asarray(array[i]), np.arange(len(array)), array.shape[1:], array.dtype)
    return Source({"train": Part(rows)})


def read_arrays(path: Path, where: str) -> dict[str, np.ndarray]:
    """All arrays of a .npz file by name, or {"x": the one of a .npy file}."""
    if path.suffix.lower() == ".npy":
        return {"x": np.array(_load(path, where))}
    arrays = {}
    with _open_npz(path, where) as file:
        for key in file.files:
            with _reading(f"{where}: {key}"):
                arrays[key] = np.asarray(file[key])
    return arrays


def header(path: Path, where: str) -> tuple[str, tuple[int, ...], np.dtype]:
    """The key of the training examples in a file, x in a .npy file, their shape and their type."""
    if path.suffix.lower() == ".npy":
        array = _load(path, where)
        return "x", array.shape, array.dtype
    with _open_npz(path, where) as file:
        key = f"x{_part_keys(file.files, where)['train']}"
        assert file.zip is not None, "it is open"
        with _reading(f"{where}: {path}"), file.zip.open(f"{key}.npy") as member:
            if npy.read_magic(member) == (1, 0):
                shape, _, dtype = npy.read_array_header_1_0(member)
            else:
                shape, _, dtype = npy.read_array_header_2_0(member)
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
