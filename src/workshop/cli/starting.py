"""The starting values of `workshop train`: of a saved configuration, where one is given.

Nothing here imports JAX: the help of a command shows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import TypeAdapter, ValidationError

from workshop.cli.options import (
    Start,
    TrainOptions,
    classes_of,
    component_of,
    default_config,
)
from workshop.cli.parsing import joined, reading
from workshop.generative_models.core.configuration import (
    COMPONENT_CONFIGS,
    MODEL_CONFIGS,
    AutoencoderConfig,
)
from workshop.generative_models.core.configuration.training import (
    TrainingConfig,
    checked_options,
    first_refusal,
)
from workshop.generative_models.core.files import CONFIG_FILE, parse_config
from workshop.generative_models.data import data_shape

_NOT_KEPT = ("model", "config", "config_file", "latent_dim", "hidden_dims", "out", "resume",
            "progress", "join", "coordinator", "processes", "process", "training")  # fmt: skip
"""Options that a run's config holds already, or that only say where and how to start."""
_KEPT = {f.name: f for f in fields(TrainOptions) if f.name not in _NOT_KEPT}
"""Options that a run's config.json holds beside those of `TrainingConfig`, all in one dict."""


def kept_options(options: TrainOptions) -> dict[str, Any]:
    """Return the options that a run's config.json holds."""
    return {n: getattr(options, n) for n in _KEPT} | options.training.model_dump(mode="json")


def training_of(options: Mapping[str, Any]) -> TrainingConfig:
    """Return the options of the training run among those in a run's config.json."""
    known = TrainingConfig.model_fields.keys() & options.keys()
    return checked_options(TrainingConfig, {name: options[name] for name in known})


def checked_training(found: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the checked options of training in a file, with defaults for those it lacks.

    A run may have been started before an option existed.
    """
    try:
        training = training_of(found)
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from None
    options = {name: f.default for name, f in _KEPT.items()} | dict(found)
    for name, kept in _KEPT.items():
        kind: Any = kept.type
        try:
            TypeAdapter(kind).validate_python(options[name])
        except ValidationError as error:
            raise ValueError(
                f"{file} is damaged: {name}={options[name]!r}: {joined(error)}"
            ) from None
    return options | training.model_dump(mode="json")


@dataclass(frozen=True)
class _Saved:
    """What a file like a run's `config.json` holds, checked."""

    file: Path
    model: str
    config: AutoencoderConfig
    training: dict[str, Any]
    """The options of the training, if it names any."""


def _read_saved(path: Path) -> _Saved:
    """Return the configuration in a file, or in the `config.json` of a run folder."""
    file = path / CONFIG_FILE if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"--config {path}: there is no file {file}")
    content = parse_config(file)
    if content["model"] not in MODEL_CONFIGS:
        known = ", ".join(MODEL_CONFIGS)
        raise ValueError(f"{file}: model={content['model']!r}: expected one of {known}")
    kind: Any = MODEL_CONFIGS[content["model"]]
    try:
        config = kind.model_validate(content["config"])
    except ValidationError as error:
        raise ValueError(f"{file}: {first_refusal(error, 'config')}") from None
    training = content.get("training", {})
    if not isinstance(training, dict):
        raise ValueError(f"{file}: training={training!r}: expected options by name")
    unknown = sorted(training.keys() - _KEPT.keys() - TrainingConfig.model_fields.keys())
    if unknown:
        raise ValueError(f"{file}: training.{unknown[0]} is no option of workshop train")
    whole = checked_training(training, file)
    return _Saved(file, content["model"], config, {name: whole[name] for name in training})


def _starting_options(saved: _Saved) -> Start:
    """Return the options that decide the defaults of others, as a saved configuration has them."""
    decisive = {f.name for f in fields(Start)}
    chosen = {name: value for name, value in saved.training.items() if name in decisive}
    if chosen.get("image_size") is not None:
        chosen["image_size"] = tuple(chosen["image_size"])
    parts = dict(saved.config) | dict(getattr(saved.config, "quantizer", None) or {})
    for name in COMPONENT_CONFIGS.keys() & parts.keys():
        chosen[name] = getattr(parts[name], "kind", None)
    return Start(model=saved.model, config_file=saved.file, **chosen)  # type: ignore[arg-type]


def _saved_config(start: Start, saved: _Saved) -> AutoencoderConfig:
    """Return a saved configuration with what the options change in it.

    The shapes of examples are those of the data, which may be other data than the file's.
    """
    if start.model != saved.model:
        raise ValueError(
            f"--model {start.model}: {saved.file} describes a {saved.model}; leave out --model or "
            "--config"
        )
    before = _starting_options(saved)
    shape = data_shape(start.data, image_size=start.image_size, skip_unusable=start.skip_unusable)
    encoder: dict[str, Any] = {"input_shape": shape}
    decoder: dict[str, Any] = {"output_shape": shape}
    if start.latent_dim is not None:
        encoder["latent_dim"] = decoder["latent_dim"] = start.latent_dim
    if start.hidden_dims is not None:
        encoder["hidden_dims"] = start.hidden_dims
        decoder["hidden_dims"] = start.hidden_dims[::-1]
    config = saved.config
    changed: dict[str, Any] = {
        "encoder": config.encoder.model_dump() | encoder,
        "decoder": config.decoder.model_dump() | decoder,
    }
    fields = type(config).model_fields
    if start.latent_dim is not None and "embedding_dim" in fields:
        changed["embedding_dim"] = start.latent_dim
    for name in COMPONENT_CONFIGS.keys() & fields.keys():
        asked = ("quantizer", "stage") if name == "quantizer" else (name,)
        if any(getattr(start, option) != getattr(before, option) for option in asked):
            changed[name] = component_of(start, name)
    if "condition_dim" in fields and start.data != before.data:
        changed["condition_dim"] = classes_of(start)
    return type(config).model_validate(config.model_dump() | changed)


def _start(arguments: list[str], default: Start) -> Start:
    """Parse only the options that determine the defaults of other options."""
    with reading():
        start, _ = tyro.cli(
            Start, args=arguments, default=default, return_unknown_args=True, prog="workshop train"
        )
    return start


def train_options(arguments: list[str]) -> type:
    """Return the options of `workshop train`, with defaults for the model and data asked for."""
    plain = [a for a in arguments if a not in ("-h", "--help")]
    if any(a.split("=")[0] == "--resume" for a in plain):
        plain = []
    start = _start(plain, Start())
    saved_options: dict[str, Any] = {}
    if start.config_file is None:
        config = default_config(start)
    else:
        saved = _read_saved(start.config_file)
        start = _start(plain, _starting_options(saved))
        config, saved_options = _saved_config(start, saved), saved.training
    kind: Any = Annotated[type(config), tyro.conf.arg(name="")]
    added: list[Any] = [("config", kind, field(default=config))]
    flat = len(config.decoder.output_shape) == 1
    training: dict[str, Any] = {"learning_rate": 3e-3, "schedule": "cosine"} if flat else {}
    training |= {n: v for n, v in saved_options.items() if n in TrainingConfig.model_fields}
    defaults = {n: v for n, v in saved_options.items() if n not in TrainingConfig.model_fields}
    defaults |= {name: getattr(start, name) for name in ("model", "data", "image_size")}
    defaults["training"] = TrainingConfig.model_validate(training)
    added[:0] = [
        (name, TrainOptions.__dataclass_fields__[name].type, field(default=value))
        for name, value in defaults.items()
    ]
    options = make_dataclass(
        "TrainOptions", added, bases=(TrainOptions,), frozen=True, kw_only=True
    )
    options.__doc__ = TrainOptions.__doc__
    return options
