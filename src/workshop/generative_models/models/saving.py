"""A model as two files: `config.json`, which rebuilds it, and `model.safetensors`, its weights.

A prior over a VQ-VAE's codes is a third one, `prior.safetensors`, with its configuration in the
header. All are validated on the way in, and none can hold code.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import MODEL_CONFIGS, PriorConfig
from workshop.generative_models.core.files import replacing
from workshop.generative_models.models.vae import MODELS, VAE, VQVAE
from workshop.generative_models.models.vae.prior import CodePrior
from workshop.generative_models.models.vae.vq_vae import prior_for

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
PRIOR_FILE = "prior.safetensors"


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
    write_json(content, Path(folder) / CONFIG_FILE)


def save_weights(model: VAE, folder: str | Path) -> None:
    """Write `model.safetensors`: parameters, and what training keeps beside them."""
    _write(_main(model), Path(folder) / WEIGHTS_FILE)


def save_prior(model: VQVAE, folder: str | Path) -> None:
    """Write the model's prior over codes, `prior.safetensors`: its weights, and what rebuilds it.

    Raises:
        ValueError: if it has none.
    """
    if model.prior is None:
        raise ValueError("this model has no prior: fit one and set model.prior")
    config = PriorConfig.model_validate(model.prior.config)
    about = {"config": config.model_dump(mode="json"), "num_classes": model.prior.num_classes}
    about["fitted_to"] = _digest(Path(folder))
    metadata = {"prior": json.dumps(about)}
    _write(_variables(model.prior), Path(folder) / PRIOR_FILE, metadata)


def _digest(folder: Path) -> str:
    """Return what tells a run's weights from others."""
    return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON so that a reader finds the old file or the new one."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _write(variables: dict[str, Any], path: Path, metadata: dict[str, str] | None = None) -> None:
    arrays = {name: np.asarray(variable[...]) for name, variable in variables.items()}
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata)


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
    _read(path, _main(model), CONFIG_FILE)
    if isinstance(model, VQVAE) and (Path(folder) / PRIOR_FILE).is_file():
        model.prior = _load_prior(model, Path(folder))
    return model


def _load_prior(model: VQVAE, folder: Path) -> CodePrior | None:
    path = folder / PRIOR_FILE
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["prior"])
        config = PriorConfig.model_validate(about["config"])
        classes, fitted_to = about["num_classes"], about["fitted_to"]
        prior = prior_for(model, config, num_classes=classes, rngs=nnx.Rngs(0))
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if fitted_to != _digest(folder):
        logging.getLogger("workshop").warning(
            "%s was fitted to other weights of this model, and is left out: fit it again", path
        )
        return None
    _read(path, _variables(prior), "header")
    prior.eval()
    return prior


def _read(path: Path, variables: dict[str, Any], config: str) -> None:
    """Set variables to what a file of weights holds, which must be what its config says."""
    try:
        arrays = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if arrays.keys() != variables.keys():
        odd = sorted(arrays.keys() ^ variables.keys())
        raise ValueError(f"{path} does not fit its {config}: {odd[0]} is in one of them only")
    for name, variable in variables.items():
        wanted, found = variable[...], arrays[name]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"{path}: {name} is {found.dtype} {found.shape}, but its {config} makes it "
                f"{wanted.dtype} {wanted.shape}"
            )
        variable[...] = found


def _variables(model: nnx.Module) -> dict[str, Any]:
    """Return the variables that make the model what it is, by dotted path; no random streams."""
    state = nnx.state(model, nnx.Not(nnx.RngState))
    return {".".join(map(str, path)): variable for path, variable in nnx.to_flat_state(state)}


def _main(model: VAE) -> dict[str, Any]:
    """Return the model's variables without those of its prior, which has a file of its own."""
    return {k: v for k, v in _variables(model).items() if not k.startswith("prior.")}
