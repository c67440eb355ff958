"""Construction of a trainer from a configuration."""

from collections.abc import Sequence
from pathlib import Path

from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.configuration.training import LoopConfig, TrainingConfig
from workshop.generative_models.core.optimizers import create_optimizer
from workshop.generative_models.tracking.callbacks import Callback
from workshop.generative_models.training.trainer import Trainer


def create_trainer(
    model: GenerativeModel,
    config: TrainingConfig,
    *,
    folder: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Trainer:
    """Return a trainer with the optimizer and the options of a configuration.

    Args:
        model: what to train, by `trainer.fit(data, steps=config.steps)`.
        config: all options of the training run.
        folder: see `Trainer`.
        callbacks: see `Trainer`.
        progress: see `Trainer`.

    Raises:
        ValueError: if the options contradict each other.
    """
    optimizer = create_optimizer(
        config.optimizer,
        config.learning_rate,
        steps=config.steps,
        schedule=config.schedule,
        warmup_steps=config.warmup_steps,
        final=config.final_rate,
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        accumulate=config.accumulate,
    )
    options = {name: getattr(config, name) for name in LoopConfig.model_fields}
    return Trainer(
        model, optimizer, folder=folder, callbacks=callbacks, progress=progress, **options
    )
