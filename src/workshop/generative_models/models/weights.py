"""The variables of a module as a file of safetensors."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from workshop.generative_models.core.files import replacing

WEIGHTS_FILE = "model.safetensors"
Built = TypeVar("Built", bound=nnx.Module)


def filled(
    build: Callable[[], Built], named: Callable[[Any], dict[str, Any]], path: Path, config: str
) -> Built:
    """Return what `build` makes, with the weights of a file whose names are those of `named`.

    Nothing is allocated before names, shapes and dtypes are known to agree: a config, which errors
    call `config`, may say any size.
    """
    check_fits(path, named(nnx.eval_shape(build)), config)
    module = build()
    fill(named(module), path)
    return module


def fill(wanted: dict[str, Any], path: Path) -> None:
    """Set variables to the arrays of a file that has them, or none of them if one is damaged."""
    arrays = load_file(path)
    for name in wanted:
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path} is damaged: {name} holds NaN or infinite values")
    for name, variable in wanted.items():
        variable[...] = arrays[name]


def check_fits(path: Path, wanted: dict[str, Any], config: str) -> None:
    """Raise a ValueError unless a file of weights has the variables that its config makes."""
    try:
        with safe_open(path, "numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            found = {n: (tuple(s.get_shape()), s.get_dtype()) for n, s in slices.items()}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or no file of weights: {error}") from None
    if found.keys() != wanted.keys():
        odd = sorted(found.keys() ^ wanted.keys())
        raise ValueError(f"{path} does not fit its {config}: {odd[0]} is in one of them only")
    for name, variable in wanted.items():
        value = variable.get_value()
        makes = (value.shape, _stored_type(value.dtype))
        if found[name] != makes:
            (shape, dtype), (its_shape, its_dtype) = found[name], makes
            raise ValueError(
                f"{path}: {name} is {dtype} {shape}, but its {config} makes it {its_dtype} "
                f"{its_shape}"
            )


def _stored_type(dtype: Any) -> str:
    """Return what safetensors calls a type: F32, I64, BOOL."""
    kind = np.dtype(dtype)
    return "BOOL" if kind == np.bool_ else f"{kind.kind.upper()}{8 * kind.itemsize}"


def variables(module: nnx.Module) -> dict[str, Any]:
    """Return the variables that make a module what it is, by dotted path; no random streams."""
    state = nnx.state(module, nnx.Not(nnx.RngState))
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}


def write(found: dict[str, Any], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write variables by their names, and what the header says beside them."""
    arrays = {name: np.asarray(variable[...]) for name, variable in found.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(arrays, metadata))  # `save_file` makes it the owner's alone


def digest(weights: Path) -> str:
    """Return a hash of the arrays in a file of weights, whatever else its header says."""
    content = weights.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    found.update(content[start:])
    return found.hexdigest()
