"""Functions as StableHLO, by `jax.export`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from .functions import BATCH, Function

SUFFIX = ".stablehlo"
_PLATFORMS = ("cpu", "cuda", "tpu")
_CALLS = re.compile(r"custom_call(?:\s*@\"?|_target_name\s*=\s*\")([\w.$]+)")
_HARMLESS = re.compile(
    r"shape_assertion|cu_threefry2x32(_ffi)?|Sharding|((mhlo|chlo|stablehlo)\.[\w.]+)"
)
"""What a program of this library may call by name: checks of shapes, random numbers, operators."""


def write(function: Function, path: Path) -> None:
    """Write a function for CPUs, GPUs and TPUs, with a free number of examples."""
    (batch,) = export.symbolic_shape(BATCH)
    compiled = jax.jit(function.of_each)
    inputs = [tensor.of(batch) for tensor in function.inputs]
    path.write_bytes(export.export(compiled, platforms=_PLATFORMS)(*inputs).serialize())


def read(path: Path) -> tuple[Callable[..., Any], list[Any], list[Any]]:
    """Return a function, and the shapes and types of its inputs and outputs."""
    try:
        program = export.deserialize(bytearray(path.read_bytes()))
        text = program.mlir_module()
    except Exception as error:  # of many kinds, from the reader of flat buffers to that of MLIR
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    for name in _CALLS.findall(text):
        if not _HARMLESS.fullmatch(name):
            raise ValueError(f"{path} calls {name}, which no program of this library does")
    compiled = jax.jit(program.call)

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(array) for array in compiled(*arrays)]

    return run, list(program.in_avals), list(program.out_avals)
