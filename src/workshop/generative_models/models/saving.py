"""A model as two files: `config.json`, which rebuilds it, and `model.safetensors`, its weights.

Both are validated on the way in, and neither can hold code.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import MODEL_CONFIGS
from workshop.generative_models.models.vae import MODELS, VAE

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


def save_config(model: VAE, folder: str | Path, **more: Any) -> None:
    """Write `config.json`: the model's name and configuration, and whatever else JSON can hold.

    Raises:
        ValueError: if the model was not built from a configuration.
    """
    if model.config is None:
        raise ValueError(
            f"this {type(model).__name__} was built from modules, so nothing on disk could rebuild "
            f"it: build it from a {model.config_class.__name__} to save it"
        )
    names = [name for name, kind in MODELS.items() if kind is type(model)]
    if not names:
        raise ValueError(
            f"{type(model).__name__} is a class of your own, which nothing on disk could rebuild: "
            f"save its weights, and build it yourself before loading them"
        )
    content = {"model": names[0], "config": model.config.model_dump(mode="json"), **more}
    path = Path(folder) / CONFIG_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, path)


def save_weights(model: VAE, folder: str | Path) -> None:
    """Write `model.safetensors`: parameters, and what training keeps beside them."""
    path = Path(folder) / WEIGHTS_FILE
    arrays = {name: np.asarray(variable[...]) for name, variable in _variables(model).items()}
    temporary = path.with_suffix(".tmp")
    save_file(arrays, temporary)
    os.replace(temporary, path)


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return what `config.json` holds.

    Raises:
        ValueError: if the folder holds none, or it is damaged.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise ValueError(f"{folder} is no run: it holds no {CONFIG_FILE}")
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not (isinstance(content, dict) and {"model", "config"} <= content.keys()):
        raise ValueError(f"{path} describes no model: expected the keys 'model' and 'config'")
    return content


def build_model(name: str, config: Any, *, rngs: nnx.Rngs) -> VAE:
    """Build a model by its name from its configuration, an object or what JSON held of one."""
    checks.one_of("model", name, MODELS)
    return MODELS[name](MODEL_CONFIGS[name].model_validate(config), rngs=rngs)


def load_model(folder: str | Path) -> VAE:
    """Return the model that a run folder holds.

    Its outputs are those of the model that was saved; its own random streams start at seed 0.

    Args:
        folder: a folder with `config.json` and `model.safetensors`.

    Raises:
        ValueError: if a file is missing or damaged, or the two do not fit each other.
    """
    content = read_config(folder)
    try:
        model = build_model(content["model"], content["config"], rngs=nnx.Rngs(0))
    except ValidationError as error:
        raise ValueError(f"{Path(folder) / CONFIG_FILE} is damaged: {error}") from None
    path = Path(folder) / WEIGHTS_FILE
    if not path.is_file():
        raise ValueError(f"{folder} holds no {WEIGHTS_FILE}: its training did not reach the end")
    try:
        arrays = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    variables = _variables(model)
    if arrays.keys() != variables.keys():
        odd = sorted(arrays.keys() ^ variables.keys())
        raise ValueError(f"{path} does not fit its {CONFIG_FILE}: {odd[0]} is in one of them only")
    for name, variable in variables.items():
        wanted, found = variable[...], arrays[name]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"{path}: {name} is {found.dtype} {found.shape}, but its {CONFIG_FILE} makes it "
                f"{wanted.dtype} {wanted.shape}"
            )
        variable[...] = found
    return model


def _variables(model: VAE) -> dict[str, Any]:
    """Return the variables that make the model what it is, by dotted path; no random streams."""
    state = nnx.state(model, nnx.Not(nnx.RngState))
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}
