"""What the command line takes. Nothing here imports JAX: help must come at once."""

from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from workshop.cli.parsing import reading
from workshop.generative_models.core.configuration import (
    LOGITS,
    MODEL_CONFIGS,
    QUANTIZER_CONFIGS,
    STANDARDIZED,
    AutoencoderConfig,
    DecoderConfig,
    EncoderConfig,
    LikelihoodName,
    NetworkType,
    ResidualConfig,
    VQConfig,
)
from workshop.generative_models.core.configuration.training import TrainingConfig
from workshop.generative_models.data import data_shape
from workshop.generative_models.data.load import class_count

QuantizerName = Literal["vq", "residual", "fsq", "lfq", "bsq", "simvq"]
StageName = Literal["vq", "fsq", "lfq", "bsq", "simvq"]
ModelName = Literal["vae", "beta-vae", "beta-vae-capacity", "conditional-vae", "vq-vae"]


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options that decide the defaults of others."""

    model: ModelName = "vae"
    """Which model."""
    data: str = "digits"
    """A name (see `workshop data`), a .npy or .npz file, a folder of images, or hf:NAME_OR_PATH."""
    latent_dim: int | None = None
    """Size of the latent vector, of encoder and decoder."""
    hidden_dims: tuple[int, ...] | None = None
    """Layers of the encoder, and reversed of the decoder."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """A config.json, or the folder of a run that has one: starting values for all options."""
    image_size: tuple[int, int] | None = None
    """Resize images to this height and width."""
    skip_unusable: bool = False
    """Leave out image files that cannot be read, or are transparent or animated, and count them."""


@dataclass(frozen=True, kw_only=True)
class Start(Common):
    """All options that decide the defaults of others."""

    encoder_type: NetworkType | None = None
    """Kind of both networks; None is dense for small or flat data and cnn for images."""
    likelihood: Annotated[
        LikelihoodName | None, tyro.conf.arg(aliases=("--reconstruction-loss-type",))
    ] = None
    """log p(x|z); None is bce for images and gaussian for other data."""
    quantizer: Annotated[QuantizerName, tyro.conf.arg(name="quantizer.kind")] = "vq"
    """How a vq-vae makes codes."""
    stage: Annotated[StageName, tyro.conf.arg(name="quantizer.stage.kind")] = "vq"
    """What each stage of a residual quantizer is."""
    steps: int = TrainingConfig().steps
    """Training steps, a share of which is the default of some options."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Common):
    """Train a model and leave a run folder: config, weights, metrics, checkpoints, figures."""

    config: AutoencoderConfig
    """The model, in full."""
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")]
    """All options of the training run, but for its model and its data."""
    tensorboard: bool = False
    """Write event files for TensorBoard, with pictures, into RUN/tensorboard."""
    out: Path | None = None
    """The run folder; None is runs/DATA-MODEL, numbered if that is taken."""
    binarize: bool = False
    """Make the data black and white: above one half, or not."""
    limit: int | None = None
    """Train on that many examples only."""
    resume: Path | None = None
    """Go on with this run from its newest checkpoint, with the options it was started with; with
    --data, if the same data lies elsewhere now."""
    join: bool = False
    """Join the other processes of this run, found by SLURM, MPI or the environment of a pod."""
    coordinator: str | None = None
    """Join them at HOST:PORT of process 0, where nothing tells it."""
    processes: int | None = None
    """How many processes there are, with --coordinator."""
    process: int | None = None
    """Which of them this is, from 0, with --coordinator."""
    progress: bool = True
    """Show a progress bar."""


def _start(arguments: list[str], default: Start) -> Start:
    """Return the options that decide the defaults of others; the others are not looked at."""
    with reading():
        start, _ = tyro.cli(
            Start, args=arguments, default=default, return_unknown_args=True, prog="workshop train"
        )
    return start


def train_options(arguments: list[str]) -> type:
    """Return the options of `workshop train`, with defaults for the model and data asked for.

    Args:
        arguments: the command line after `train`.
    """
    plain = [a for a in arguments if a not in ("-h", "--help")]
    if any(a.split("=")[0] == "--resume" for a in plain):
        plain = []
    start = _start(plain, Start())
    saved_options: dict[str, Any] = {}
    if start.config_file is None:
        config = default_config(start)
    else:
        from workshop.cli.starting import read_saved, saved_config, starting_options

        saved = read_saved(start.config_file)
        start = _start(plain, starting_options(saved))
        config, saved_options = saved_config(start, saved), saved.training
    fields: list[Any] = [
        (
            "config",
            # Of a union the class of the default counts: no subcommands for it.
            Annotated[type(config), tyro.conf.arg(name=""), tyro.conf.AvoidSubcommands],
            field(default=config),
        )
    ]
    flat = len(config.decoder.output_shape) == 1
    training: dict[str, Any] = {"learning_rate": 3e-3, "schedule": "cosine"} if flat else {}
    training |= {n: v for n, v in saved_options.items() if n in TrainingConfig.model_fields}
    defaults = {n: v for n, v in saved_options.items() if n not in TrainingConfig.model_fields}
    defaults |= {name: getattr(start, name) for name in ("model", "data", "image_size")}
    defaults["training"] = TrainingConfig.model_validate(training)
    fields[:0] = [
        (name, TrainOptions.__dataclass_fields__[name].type, field(default=value))
        for name, value in defaults.items()
    ]
    options = make_dataclass(
        "TrainOptions", fields, bases=(TrainOptions,), frozen=True, kw_only=True
    )
    options.__doc__ = TrainOptions.__doc__
    return options


def default_config(start: Start) -> AutoencoderConfig:
    """Return a model's configuration that suits the data."""
    shape = data_shape(start.data, image_size=start.image_size, skip_unusable=start.skip_unusable)
    images = len(shape) == 3
    small = not images or min(shape[:2]) < 16
    discrete = start.model == "vq-vae"
    kind = start.encoder_type or ("dense" if small and not (discrete and images) else "cnn")
    layers = _layers(kind, shape) if start.hidden_dims is None else start.hidden_dims
    likelihood = start.likelihood or ("bce" if images else "gaussian")
    latent_dim = 16 if start.latent_dim is None else start.latent_dim
    shared: dict[str, Any] = {"latent_dim": latent_dim}
    fields: dict[str, Any] = {
        "encoder_type": kind,
        "encoder": EncoderConfig(hidden_dims=layers, input_shape=shape, **shared),
        "decoder": DecoderConfig(
            hidden_dims=layers[::-1],
            output_shape=shape,
            output_activation="sigmoid" if images or likelihood in LOGITS else "identity",
            **shared,
        ),
    }
    beta = start.model.startswith("beta")
    fields["reconstruction_loss_type" if beta else "likelihood"] = likelihood
    # A scale of 1 in data of [0, 1] would say less than no model; learned, it finds the data's.
    if likelihood == "discretized_logistic":
        fields["scale"] = "learned"
    elif likelihood in STANDARDIZED and not images:
        fields |= {"scale": "per_feature", "standardize": True}
    fields |= _preset(start, fields["encoder"].latent_dim)
    return MODEL_CONFIGS[start.model](**fields)


def _layers(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if kind == "dense":
        return (512, 256) if len(shape) == 3 else (128, 128)
    return (32, 64, 128) if min(shape[:2]) >= 32 else (32, 64)


def _preset(start: Start, latent_dim: int) -> dict[str, Any]:
    """Return what the command sets otherwise than a model's configuration does on its own."""
    if start.model == "beta-vae":
        return {"beta_default": 4.0}
    if start.model == "beta-vae-capacity":
        # Half of the run for the capacity to grow, whatever its length.
        return {"use_capacity_control": True, "capacity_num_iter": max(start.steps // 2, 1)}
    if start.model == "conditional-vae":
        return {"condition_dim": classes_of(start)}
    if start.model == "vq-vae":
        return {"embedding_dim": latent_dim, "quantizer": quantizer_of(start)}
    return {}


def quantizer_of(start: Start) -> Any:
    """Return a quantizer whose codes stay in use; that is more than a codebook does on its own."""
    living = VQConfig(learning="ema", kmeans=True, revive_below=0.1)
    if start.quantizer == "vq":
        return living
    if start.quantizer == "residual":
        stage: Any = living if start.stage == "vq" else QUANTIZER_CONFIGS[start.stage]()
        return ResidualConfig(
            stage=stage, ratio=4.0 if start.stage in ("fsq", "lfq", "bsq") else 1.0
        )
    return QUANTIZER_CONFIGS[start.quantizer]()


def classes_of(start: Start) -> int:
    """Return how many classes the data has, for a model that reads them."""
    classes = class_count(
        start.data, image_size=start.image_size, skip_unusable=start.skip_unusable
    )
    if classes is None:
        raise ValueError(f"--model conditional-vae needs labels, and {start.data} has none")
    return classes
