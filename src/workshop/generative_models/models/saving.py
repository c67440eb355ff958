"""A model as two files: `config.json`, which rebuilds it, and `model.safetensors`, its weights.

A prior over codes is a third one; see `models.code_prior`. All are validated when they are read,
and none can hold code.
"""

import math
import shlex
from pathlib import Path
from typing import Any, TypeVar

from flax import nnx
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from workshop.generative_models.core import checks
from workshop.generative_models.core.building import undescribed
from workshop.generative_models.core.configuration import MODEL_CONFIGS
from workshop.generative_models.core.files import CONFIG_FILE, read_config, write_json
from workshop.generative_models.models.code_prior import load_prior
from workshop.generative_models.models.registry import MODELS, name_of
from workshop.generative_models.models.weights import (
    WEIGHTS_FILE,
    check_fits,
    fill,
    filled,
    variables,
    write,
)

Model = TypeVar("Model")


def save_config(model: Any, folder: str | Path, **more: Any) -> None:
    """Write `config.json`: the model's name and configuration, and whatever else JSON can hold.

    Raises:
        ValueError: if no configuration describes the model, as it was built from modules.
    """
    if model.config is None:
        raise ValueError(
            f"this {type(model).__name__} was built from modules, so nothing on disk could rebuild "
            f"it: build it from a {model.config_class.__name__} to save it"
        )
    name = name_of(model)
    if name is None:
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
    content = {"model": name, "config": config.model_dump(mode="json"), **more}
    write_json(content, Path(folder) / CONFIG_FILE)


def save_weights(model: Any, folder: str | Path, *, step: int | None = None) -> None:
    """Write `model.safetensors`: parameters, and what training keeps beside them.

    Args:
        model: whose weights are written; it must have some, and not wait for its first batch.
        folder: where to.
        step: how many steps it was trained for, which `weights_step` reads.
    """
    _refuse_unbuilt(model)
    metadata = None if step is None else {"step": str(step)}
    write(_main(model), Path(folder) / WEIGHTS_FILE, metadata)


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


def load_weights(model: Any, folder: str | Path) -> None:
    """Fill a model that you built with the weights of `model.safetensors`, in place.

    For models that no configuration describes; `workshop.load` builds the others itself. A VQ-VAE
    gets the folder's prior, or none. The model is then in evaluation mode, as by `model.eval()`.

    Raises:
        ValueError: if the file is missing or damaged, or the model does not fit it.
    """
    _refuse_unbuilt(model)
    path = _weights_in(folder)
    check_fits(path, _main(model), "model")
    fill(_main(model), path)
    if model.has_codes:
        model.prior = load_prior(model, Path(folder), path)
    model.eval()


def _refuse_unbuilt(model: Any) -> None:
    if any(getattr(module, "pending_rngs", None) for _, module in nnx.iter_modules(model)):
        raise ValueError(
            f"this {type(model).__name__} has no weights yet: its encoder was given no "
            "input_shape, and has seen no batch"
        )


def build_model(name: str, config: Any, *, rngs: nnx.Rngs) -> Any:
    """Build a model by its name from its configuration, an object or what JSON held of one."""
    checks.one_of("model", name, MODELS)
    return MODELS[name](MODEL_CONFIGS[name].model_validate(config), rngs=rngs)


def load_model(
    folder: str | Path,
    kind: type[Model] | None = None,
    *,
    weights: Path | None = None,
) -> Model:
    """Return the model of a folder with `config.json` and `model.safetensors`.

    It is in evaluation mode, and its own random streams start at seed 0.

    Args:
        folder: the folder, such as a run folder.
        kind: the class that it must be of, or a subclass of it; None is any.
        weights: a file like `model.safetensors` to read in its place.

    Raises:
        ValueError: if a file is missing or damaged, or one of them does not fit.
    """
    content = read_config(folder)
    about = Path(folder) / CONFIG_FILE
    name = checks.one_of(f"{about}: model", content["model"], MODELS)
    if kind is not None and not issubclass(MODELS[name], kind):
        raise ValueError(
            f"{folder} holds a {MODELS[name].__name__}, which is no {kind.__name__}: load it with "
            f"{MODELS[name].__name__}.from_pretrained, or with workshop.load"
        )
    path = _weights_in(folder) if weights is None else weights
    try:
        model = filled(
            lambda: build_model(name, content["config"], rngs=nnx.Rngs(0)), _main, path, CONFIG_FILE
        )
    except ValidationError as error:
        raise ValueError(f"{about} is damaged: {error}") from None
    if model.has_codes:
        model.prior = load_prior(model, Path(folder), path)
    model.eval()
    return model


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


def _main(model: Any) -> dict[str, Any]:
    """Return the model's variables, without those of parts that have a file of their own."""
    apart = tuple(f"{part}." for part in model.kept_apart)
    return {k: v for k, v in variables(model).items() if not k.startswith(apart)}
