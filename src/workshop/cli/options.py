"""What the command line takes. Nothing here imports JAX: help must come at once."""

import math
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from workshop.cli.parsing import kinds_of
from workshop.generative_models.core.configuration import (
    COMPONENT_CONFIGS,
    LOGITS,
    MODEL_CONFIGS,
    AutoencoderConfig,
    DecoderConfig,
    EncoderConfig,
    LikelihoodName,
    NetworkType,
    ResidualConfig,
    VQConfig,
)
from workshop.generative_models.core.configuration.likelihoods import DISCRETE, in_any_units
from workshop.generative_models.core.configuration.presets import PRESETS
from workshop.generative_models.core.configuration.training import TrainingConfig
from workshop.generative_models.data import data_shape
from workshop.generative_models.data.load import class_count

if TYPE_CHECKING:
    ModelName = str
else:
    ModelName = Literal[tuple(PRESETS)]


def _kind(name: str, at: str = "") -> Any:
    """Return the description of an option that chooses a component, with a prefix."""
    return tyro.conf.arg(name=f"{at}{name}.kind", constructor=kinds_of(name) | None)


_OWN_KINDS = {"quantizer": "vq", "stage": "vq"}
"""Components that the command chooses if none is asked for."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options that decide the defaults of others."""

    model: ModelName = "vae"
    """Which model, see `workshop models`."""
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
    prior: Annotated[str | None, _kind("prior")] = None
    """Kind of prior; None is the model's own."""
    posterior: Annotated[str | None, _kind("posterior")] = None
    """Kind of posterior; None is the model's own."""
    objective: Annotated[str | None, _kind("objective")] = None
    """Kind of objective; None is the model's own."""
    quantizer: Annotated[str | None, _kind("quantizer")] = None
    """Kind of quantizer of a vq-vae; None is vq."""
    stage: Annotated[str | None, _kind("stage", "quantizer.")] = None
    """Kind of quantizer of each stage of a residual one; None is vq."""
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


def default_config(start: Start) -> AutoencoderConfig:
    """Return a model's configuration that suits the data."""
    model = MODEL_CONFIGS[PRESETS[start.model].model]
    shape = data_shape(start.data, image_size=start.image_size, skip_unusable=start.skip_unusable)
    images = len(shape) == 3
    small = not images or min(shape[:2]) < 16
    discrete = "quantizer" in model.model_fields
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
    name = "likelihood" if "likelihood" in model.model_fields else "reconstruction_loss_type"
    fields[name] = likelihood
    if not images or likelihood in DISCRETE:
        fields |= in_any_units(likelihood)
    return model(**fields, **_own_defaults(start, model, latent_dim, shape))


def _layers(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if kind == "dense":
        return (512, 256) if len(shape) == 3 else (128, 128)
    return (32, 64, 128) if min(shape[:2]) >= 32 else (32, 64)


def _own_defaults(
    start: Start, model: type[AutoencoderConfig], latent_dim: int, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return what the command sets otherwise than a model's configuration does on its own."""
    fields = model.model_fields
    preset: dict[str, Any] = dict(PRESETS[start.model].components)
    for name in COMPONENT_CONFIGS.keys() & fields.keys():
        asked = component_of(start, name)
        if asked is not None and getattr(preset.get(name), "kind", None) != asked.kind:
            preset[name] = asked
    if "embedding_dim" in fields:
        preset["embedding_dim"] = latent_dim
    if "condition_dim" in fields:
        preset["condition_dim"] = classes_of(start)
    if "use_capacity_control" in fields:
        # The paper's 25 nats and γ = 1,000 are for images of 4,096 pixels.
        capacity = min(25.0, math.prod(shape) / 16)
        preset |= {"use_capacity_control": True, "gamma": 10.0, "capacity_max": capacity}
        preset |= _steps_of(start, fields)
    elif "beta_default" in fields:
        preset["beta_default"] = 2.0  # at 4 the small digits leave no latent in use
    return preset


def _steps_of(start: Start, fields: Container[str]) -> dict[str, Any]:
    """Return half of the run's steps for a capacity to grow in, whatever the run's length."""
    return {"capacity_num_iter": max(start.steps // 2, 1)} if "capacity_num_iter" in fields else {}


def component_of(start: Start, name: str) -> Any:
    """Return the configuration of a component that is asked for, or None.

    The quantizer's options keep its codes in use, which the defaults of a codebook do not.
    """
    kind = getattr(start, name) or _OWN_KINDS.get(name)
    if kind is None:
        return None
    config = COMPONENT_CONFIGS[name][kind]
    if config is VQConfig:
        return VQConfig(learning="ema", kmeans=True, revive_below=0.1)
    if config is ResidualConfig:
        ratio = 4.0 if start.stage in ("fsq", "lfq", "bsq") else 1.0
        return ResidualConfig(stage=component_of(start, "stage"), ratio=ratio)
    return config(**_steps_of(start, config.model_fields))


def classes_of(start: Start) -> int:
    """Return how many classes the data has, for a model that reads them."""
    classes = class_count(
        start.data, image_size=start.image_size, skip_unusable=start.skip_unusable
    )
    if classes is None:
        raise ValueError(f"--model conditional-vae needs labels, and {start.data} has none")
    return classes
