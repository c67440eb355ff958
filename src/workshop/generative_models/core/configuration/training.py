"""Options of training, declared once: for the command line, run folders and the trainer."""

from operator import index
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BeforeValidator, Field, ValidationError

from workshop.generative_models.core.configuration.base import Frozen

OptimizerName = Literal["adam", "adamw", "sgd", "rmsprop", "lion", "adafactor", "adabelief", "lamb"]
RateScheduleName = Literal["constant", "linear", "cosine", "exponential"]
Devices = Literal["one", "data", "full"]


def _integer(value: Any) -> int:
    """Return an integer of Python or NumPy; pydantic would also read strings and booleans."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError("expected an integer")
    return index(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError("expected True or False")
    return bool(value)


def _number(value: Any) -> Any:
    if isinstance(value, (str, bool)):
        raise ValueError("expected a number")
    return value


_Integer = Annotated[int, BeforeValidator(_integer)]
Count = Annotated[int, BeforeValidator(_integer), Field(gt=0)]
Number = Annotated[float, BeforeValidator(_number)]
_Flag = Annotated[bool, BeforeValidator(_flag)]


class OptimizerConfig(Frozen):
    """The arguments of `create_optimizer`, of which `steps` is that of the whole run."""

    optimizer: OptimizerName = "adam"
    """Which optimizer."""
    learning_rate: Annotated[Number, Field(gt=0)] = 1e-3
    """The largest learning rate; 3e-3 by default for flat data."""
    schedule: RateScheduleName = "constant"
    """How the learning rate falls from its largest value to its last one; by default constant for
    images and cosine for flat data."""
    warmup_steps: Annotated[_Integer, Field(ge=0)] = 0
    """Steps in which the learning rate rises from 0."""
    final_rate: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """The last learning rate of a schedule, as a share of the largest."""
    weight_decay: Number = 0.0
    """Decoupled weight decay, of adamw, lion and lamb."""
    clip_norm: Annotated[Number, Field(gt=0)] | None = None
    """Largest norm of the gradient; None does not clip."""
    accumulate: Count = 1
    """Batches whose mean gradient makes one update."""


class LoopConfig(Frozen):
    """The options of `Trainer` that are not objects of Python."""

    batch_size: Count = 128
    """Examples in a step, of all devices together."""
    seed: Annotated[_Integer, Field(ge=0, lt=2**31)] = 0
    """Of the split, the initial weights, the order of examples and all noise."""
    checkpoint_every: Count | None = None
    """Steps between checkpoints; None writes one every 20 seconds."""
    log_every: Count = 100
    """Steps that a row of training metrics averages over."""
    evaluate_every: Count | None = None
    """Steps between evaluations on the validation data; None is ten in a run."""
    average: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, to evaluate and save; None keeps none."""
    nonfinite: Literal["stop", "skip"] = "stop"
    """What to do at a loss or gradient that is not finite."""
    monitor: str = "loss"
    """The validation metric that patience, keep-best and plateau-patience look at."""
    patience: Count | None = None
    """Evaluations without a better one after which the run ends; None never ends it."""
    keep_best: _Flag = False
    """Keep the model of the best evaluation, not of the last step."""
    plateau_patience: Count | None = None
    """Evaluations without a better one after which the learning rate falls; None never lets it."""
    plateau_factor: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    """What the learning rate is then multiplied by, again and again."""
    devices: Devices = "one"
    """Split examples over all devices (data), and parameters and optimizer too (full)."""
    stream: _Flag | None = None
    """Read data as it is needed; None does so for what does not fit on the device."""


class TrainingConfig(LoopConfig, OptimizerConfig):
    """All options of a training run, but for its model and its data.

    Examples:
        >>> config = TrainingConfig(optimizer="adamw", weight_decay=0.01, steps=500)
        >>> TrainingConfig.model_validate_json(config.model_dump_json()) == config
        True
    """

    steps: Count = 3000
    """Training steps."""


class PriorTrainingConfig(Frozen):
    """Options of the training of a prior over codes."""

    steps: Count = 3000
    """Training steps."""
    batch_size: Count = 64
    """Examples in a step."""
    learning_rate: Annotated[Number, Field(gt=0)] = 1e-3
    """The largest learning rate."""

    def training(self, seed: int) -> TrainingConfig:
        """Return all options of the training run: AdamW with a warm-up and a cosine schedule."""
        return TrainingConfig(
            optimizer="adamw",
            schedule="cosine",
            warmup_steps=min(100, self.steps // 10),
            weight_decay=0.01,
            clip_norm=1.0,
            keep_best=True,
            seed=seed,
            **dict(self),
        )


Options = TypeVar("Options", bound=Frozen)


def checked_options(kind: type[Options], values: dict[str, Any]) -> Options:
    """Return options from Python values, or name the first that is refused, with its value."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ValueError(first_refusal(error)) from None


def first_refusal(error: ValidationError, *above: str) -> str:
    """Return the first value that a configuration refuses, with the path of its field."""
    wrong = error.errors()[0]
    names = [str(part) for part in wrong["loc"]]
    message = wrong["msg"].removeprefix("Value error, ")
    return f"{'.'.join([*above, *names])}={wrong['input']!r}: {message}"
