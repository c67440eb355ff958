"""Arrays from .npy and .npz files. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from workshop.generative_models.data.arrays import SPLITS, Part, Source

_EXPECTED = "x and perhaps y, or x_train and perhaps x_validation, x_test and the same with y"


def read_npy(path: Path, where: str) -> Source:
    """One array of examples: (n, d), (n, h, w) or (n, h, w, c)."""
    return Source({"train": Part(_load(path, where, None))})


def read_npz(path: Path, where: str) -> Source:
    """Named arrays: x and y, or x_train, x_validation, x_test and y_train, ..."""
    with _open_npz(path, where) as file:
        keys = _part_keys(file.files, where)
        arrays = {key: _member(file, key, where) for key in file.files}
    return Source(
        {part: Part(arrays[f"x{end}"], arrays.get(f"y{end}")) for part, end in keys.items()}
    )


def npy_shape(path: Path, where: str) -> tuple[int, ...]:
    """The shape of the array in the file, from its header."""
    return _load(path, where, "r").shape


def npz_shape(path: Path, where: str) -> tuple[int, ...]:
    """The shape of the training examples in the file, from their header."""
    with _open_npz(path, where) as file:
        name = f"x{_part_keys(file.files, where)['train']}.npy"
    with zipfile.ZipFile(path) as archive, archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        return read(member)[0]


def _part_keys(keys: list[str], where: str) -> dict[str, str]:
    """The ending of the keys of each part: {"train": ""} or {"train": "_train", ...}."""
    if "x" in keys and set(keys) <= {"x", "y"}:
        return {"train": ""}
    known = {f"{field}_{part}" for field in "xy" for part in SPLITS}
    parts = [part for part in SPLITS if f"x_{part}" in keys]
    lonely = [key for key in keys if key.startswith("y_") and f"x{key[1:]}" not in keys]
    if "train" not in parts or lonely or not set(keys) <= known:
        raise ValueError(
            f"{where}: holds the arrays {', '.join(sorted(keys)) or '(none)'}; expected "
            f"{_EXPECTED}: numpy.savez(path, x=images, y=labels)"
        )
    return {part: f"_{part}" for part in parts}


def _load(path: Path, where: str, mmap_mode: Literal["r"] | None) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{where}: {path} {_unreadable(error)}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError(f"{where}: {path} is a .npz file; expected that ending")
    return array


def _open_npz(path: Path, where: str) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{where}: {path} {_unreadable(error)}") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError(f"{where}: {path} is a .npy file; expected that ending")
    return file


def _member(file: np.lib.npyio.NpzFile, key: str, where: str) -> np.ndarray:
    try:
        return file[key]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{where}: {key} {_unreadable(error)}") from error


def _unreadable(error: Exception) -> str:
    return (
        f"cannot be read ({error}); expected a file of plain numbers or strings from numpy.save or "
        "numpy.savez: pickled objects are refused, since loading them can run code"
    )
