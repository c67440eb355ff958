"""An export read back: its functions, ready to be called."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from ..models.saving import load_model
from . import onnx, stablehlo
from .functions import BATCH
from .manifest import MANIFEST_FILE, FunctionInfo, Manifest, TensorInfo, read_manifest
from .offered import functions_of

PROGRAMS = {"stablehlo": stablehlo, "onnx": onnx}


@dataclass(frozen=True)
class ExportedFunction:
    """A function of an export: arrays in the order of `info.inputs` in, arrays out."""

    name: str
    info: FunctionInfo
    program: Callable[..., list[np.ndarray]]
    """What runs it, on arrays that fit."""

    def __call__(self, *arrays: ArrayLike) -> np.ndarray | tuple[np.ndarray, ...]:
        """Return the output, or a tuple if there are several.

        Raises:
            ValueError: if an array has another type or shape than `info.inputs` says.
        """
        inputs = self.info.inputs
        if len(arrays) != len(inputs):
            wanted = ", ".join(tensor.name for tensor in inputs)
            raise ValueError(f"{self.name} takes ({wanted}), and got {len(arrays)} arrays")
        given = [_fitting(self.name, t, a) for t, a in zip(inputs, arrays, strict=True)]
        sizes = {a.shape[0] for t, a in zip(inputs, given, strict=True) if BATCH in t.shape}
        if len(sizes) > 1:
            raise ValueError(
                f"{self.name} got batches of {sorted(sizes)} examples: they must agree"
            )
        found = self.program(*given)
        return found[0] if len(found) == 1 else tuple(found)


def load_exported(folder: str | Path) -> dict[str, ExportedFunction]:
    """Return the functions of an export by name.

    Nothing in the folder is Python, and no program in it may call any.

    Args:
        folder: what `export_model` or `workshop export` made.

    Raises:
        ImportError: for ONNX without the extra `onnx`.
        ValueError: if it is no export, or a file is missing, damaged, changed, or not what
            `export.json` says.
    """
    return functions_in(Path(folder), read_manifest(Path(folder)))


def functions_in(folder: Path, manifest: Manifest) -> dict[str, ExportedFunction]:
    """Return the functions that a manifest names, whose files it was checked against."""
    if manifest.format == "safetensors":
        own = {f.name: jax.jit(f.run) for f in functions_of(load_model(folder)).values()}
        if odd := manifest.functions.keys() ^ own.keys():
            raise ValueError(f"{folder / MANIFEST_FILE} does not fit its model: {min(odd)}")
        return {n: ExportedFunction(n, i, _on_host(own[n])) for n, i in manifest.functions.items()}
    module, found = PROGRAMS[manifest.format], {}
    for name, info in manifest.functions.items():
        file = name + module.SUFFIX
        if file not in manifest.files:
            raise ValueError(f"{folder / MANIFEST_FILE} names no file of {name}: expected {file}")
        program, inputs, outputs = module.read(folder / file)
        _check(folder / file, "inputs", info.inputs, inputs)
        _check(folder / file, "outputs", info.outputs, outputs)
        found[name] = ExportedFunction(name, info, program)
    return found


def _on_host(function: Callable[..., Any]) -> Callable[..., list[np.ndarray]]:
    return lambda *arrays: [np.asarray(array) for array in function(*arrays)]


def _check(path: Path, what: str, said: list[TensorInfo], found: list[Any]) -> None:
    """Refuse a program that takes or gives something else than is said."""
    expected = [(tuple(map(str, t.shape)), t.dtype) for t in said]
    given = [(tuple(map(str, a.shape)), str(a.dtype)) for a in found]
    if given != expected:
        raise ValueError(f"{path} has the {what} {given}, but {MANIFEST_FILE} says {expected}")


def _fitting(name: str, tensor: TensorInfo, array: ArrayLike) -> np.ndarray:
    """Return an array in a tensor's type; numbers of another kind are refused, not converted."""
    found, wanted = np.asarray(array), np.dtype(tensor.dtype)
    kinds = "f" if wanted.kind == "f" else "iu"
    fits = found.ndim == len(tensor.shape) and all(
        (size == BATCH and n > 0) or size == n
        for size, n in zip(tensor.shape, found.shape, strict=True)
    )
    if not fits or found.dtype.kind not in kinds:
        shape = ", ".join(map(str, tensor.shape))
        raise ValueError(
            f"{name}({tensor.name}) has shape {found.shape} and type {found.dtype}: expected "
            f"({shape}) of {wanted}, {tensor.about}"
        )
    return found.astype(wanted, copy=False)
