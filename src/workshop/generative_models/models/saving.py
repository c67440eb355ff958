"""A model as two files: `config.json`, which rebuilds it, and `model.safetensors`, its weights.

A prior over a VQ-VAE's codes is a third one, `prior.safetensors`, with its configuration in the
header. All are validated on the way in, and none can hold code.
"""

import hashlib
import json
import logging
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from flax import nnx
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from workshop.generative_models.core import checks
from workshop.generative_models.core.building import undescribed
from workshop.generative_models.core.configuration import MODEL_CONFIGS, PriorConfig
from workshop.generative_models.core.files import (
    CONFIG_FILE,
    read_config,
    replacing,
    write_json,
)
from workshop.generative_models.models.vae import MODELS, VAE
from workshop.generative_models.models.vae.prior import CodePrior
from workshop.generative_models.models.vae.vq_vae import prior_for

WEIGHTS_FILE = "model.safetensors"
PRIOR_FILE = "prior.safetensors"
PRIOR_FORMAT = 3
"""What a prior's weights mean: since 2 its class stands at every place. Another is not read."""
Model = TypeVar("Model", bound=VAE)
Built = TypeVar("Built", bound=nnx.Module)


def save_config(model: VAE, folder: str | Path, **more: Any) -> None:
    """Write `config.json`: the model's name and configuration, and whatever else JSON can hold.

    Raises:
        ValueError: if no configuration describes the model: it was built from modules, is of a
            class of your own, or its likelihood was replaced.
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
            "save its weights, and build it yourself before `load_weights`"
        )
    config = model.config
    if config.encoder.input_shape is None:  # it was read off the first batch
        encoder = config.encoder.model_copy(update={"input_shape": config.decoder.output_shape})
        config = config.model_copy(update={"encoder": encoder})
    if part := undescribed(model, config, model.components):
        raise ValueError(
            f"this model's {part}, a {type(getattr(model, part)).__name__}, is not that of its "
            "configuration, so nothing on disk could rebuild it: use save_weights, and "
            "load_weights into a model that you build"
        )
    content = {"model": names[0], "config": config.model_dump(mode="json"), **more}
    write_json(content, Path(folder) / CONFIG_FILE)


def save_weights(model: VAE, folder: str | Path, *, step: int | None = None) -> None:
    """Write `model.safetensors`: parameters, and what training keeps beside them.

    Args:
        model: whose weights are written.
        folder: where to.
        step: how many steps the model was trained for, which the file then says; see
            `weights_step`.

    Raises:
        ValueError: if the model waits for its first batch, and has no weights yet.
    """
    _refuse_unbuilt(model)
    metadata = None if step is None else {"step": str(step)}
    _write(_main(model), Path(folder) / WEIGHTS_FILE, metadata)


def weights_step(folder: str | Path) -> float:
    """Return how many steps the model of `model.safetensors` was trained for.

    It is -1 if there is no such file, and infinity if the file does not say it.
    """
    path = Path(folder) / WEIGHTS_FILE
    if not path.is_file():
        return -1
    try:
        with safe_open(path, "numpy") as file:
            return int((file.metadata() or {})["step"])
    except (KeyError, ValueError, SafetensorError):
        return math.inf


def load_weights(model: VAE, folder: str | Path) -> None:
    """Fill a model that you built with the weights of `model.safetensors`, in place.

    For models that no configuration describes; `workshop.load` builds the others itself. A VQ-VAE
    gets the folder's prior, or none. The model is then in evaluation mode, as by `model.eval()`.

    Raises:
        ValueError: if the file is missing or damaged, or the model has other names, shapes or
            types, or has no weights yet.
    """
    _refuse_unbuilt(model)
    path = _weights_in(folder)
    _check_fits(path, _main(model), "model")
    _fill(_main(model), path)
    if model.has_codes:
        model.prior = _load_prior(model, Path(folder), path)
    model.eval()


def _refuse_unbuilt(model: VAE) -> None:
    if any(getattr(module, "pending_rngs", None) for _, module in nnx.iter_modules(model)):
        raise ValueError(
            f"this {type(model).__name__} has no weights yet: its encoder was given no "
            "input_shape, and has seen no batch"
        )


def save_prior(model: VAE, folder: str | Path) -> None:
    """Write the model's prior over codes, `prior.safetensors`: its weights, and what rebuilds it.

    Raises:
        ValueError: if it has none.
    """
    prior = model.code_prior
    if prior is None:
        raise ValueError("this model has no prior: fit one and set model.prior")
    config = PriorConfig.model_validate(prior.config)
    about = {"config": config.model_dump(mode="json"), "num_classes": prior.num_classes}
    about |= {"fitted_to": _digest(Path(folder) / WEIGHTS_FILE), "format": PRIOR_FORMAT}
    metadata = {"prior": json.dumps(about)}
    _write(variables(prior), Path(folder) / PRIOR_FILE, metadata)


def _digest(weights: Path) -> str:
    """Return a hash of the arrays in a file of weights, whatever else its header says."""
    content = weights.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    found.update(content[start:])
    return found.hexdigest()


def _write(found: dict[str, Any], path: Path, metadata: dict[str, str] | None = None) -> None:
    arrays = {name: np.asarray(variable[...]) for name, variable in found.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(save(arrays, metadata))  # `save_file` makes it the owner's alone


def build_model(name: str, config: Any, *, rngs: nnx.Rngs) -> VAE:
    """Build a model by its name from its configuration, an object or what JSON held of one."""
    checks.one_of("model", name, MODELS)
    return MODELS[name](MODEL_CONFIGS[name].model_validate(config), rngs=rngs)


def load_model(
    folder: str | Path,
    kind: type[Model] = VAE,
    *,
    weights: Path | None = None,
) -> Model:
    """Return the model that a folder holds, such as a run folder.

    Its outputs are those of the model that was saved. It is in evaluation mode, and its own random
    streams start at seed 0.

    Args:
        folder: a folder with `config.json` and `model.safetensors`.
        kind: the class that it must be of, or a subclass of it.
        weights: a file like `model.safetensors` to read in its place.

    Raises:
        ValueError: if a file is missing or damaged, the two do not fit each other, or the model is
            of another class.
    """
    content = read_config(folder)
    about = Path(folder) / CONFIG_FILE
    name = checks.one_of(f"{about}: model", content["model"], MODELS)
    if not issubclass(MODELS[name], kind):
        raise ValueError(
            f"{folder} holds a {MODELS[name].__name__}, which is no {kind.__name__}: load it with "
            f"{MODELS[name].__name__}.from_pretrained, or with workshop.load"
        )
    path = _weights_in(folder) if weights is None else weights
    try:
        model = _filled(
            lambda: build_model(name, content["config"], rngs=nnx.Rngs(0)), _main, path, CONFIG_FILE
        )
    except ValidationError as error:
        raise ValueError(f"{about} is damaged: {error}") from None
    if model.has_codes:
        model.prior = _load_prior(model, Path(folder), path)
    model.eval()
    return model  # type: ignore[return-value]


def _weights_in(folder: str | Path) -> Path:
    path = Path(folder) / WEIGHTS_FILE
    if not path.parent.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    if not path.is_file():
        why = "its training did not reach the end, or it was not copied whole"
        if (path.parent / "checkpoints").is_dir() and (path.parent / CONFIG_FILE).is_file():
            why += f"; continue it with workshop train --resume {shlex.quote(str(folder))}"
        raise ValueError(f"{folder} holds no {WEIGHTS_FILE}: {why}")
    return path


def _load_prior(model: Any, folder: Path, weights: Path) -> CodePrior | None:
    """Return the prior in a folder, if there is one that was fitted to these weights."""
    path = folder / PRIOR_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["prior"])
        config = PriorConfig.model_validate(about["config"])
        classes, fitted_to = about["num_classes"], about["fitted_to"]
        form = about.get("format", 1)
        if classes is not None:
            checks.positive_int("num_classes", classes)
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    for wrong, why in (
        (form != PRIOR_FORMAT, "is of another version of this library"),
        (fitted_to != _digest(weights), "was fitted to other weights of this model"),
    ):
        if wrong:
            logging.getLogger("workshop").warning("%s %s, and is left out: fit it again", path, why)
            return None
    return _filled(
        lambda: prior_for(model, config, num_classes=classes, rngs=nnx.Rngs(0)),
        variables, path, "header",
    )  # fmt: skip


def _filled(
    build: Callable[[], Built], named: Callable[[Any], dict[str, Any]], path: Path, config: str
) -> Built:
    """Return what `build` makes, with the weights of a file that fits it.

    Nothing is allocated before names, shapes and dtypes are known to agree: a config may say any
    size.

    Args:
        build: makes the module as its config says.
        named: variables of a module by the names that the file has.
        path: the file.
        config: what an error calls the config.
    """
    _check_fits(path, named(nnx.eval_shape(build)), config)
    module = build()
    _fill(named(module), path)
    return module


def _fill(wanted: dict[str, Any], path: Path) -> None:
    """Set variables to the arrays of a file that has them, or none of them if one is damaged."""
    arrays = load_file(path)
    for name in wanted:
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path} is damaged: {name} holds NaN or infinite values")
    for name, variable in wanted.items():
        variable[...] = arrays[name]


def _check_fits(path: Path, wanted: dict[str, Any], config: str) -> None:
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


def _main(model: VAE) -> dict[str, Any]:
    """Return the model's variables, without those of parts that have a file of their own."""
    apart = tuple(f"{part}." for part in model.kept_apart)
    return {k: v for k, v in variables(model).items() if not k.startswith(apart)}
