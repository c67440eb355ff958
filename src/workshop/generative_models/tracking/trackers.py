"""Trackers, as callbacks: TensorBoard's event files, Weights & Biases, MLflow."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workshop.generative_models.tracking.callbacks import Callback, Row

Pictures = Callable[[Any], dict[str, np.ndarray]]
"""From a model to pictures by name, uint8 (height, width, 3)."""


class Tracker(Callback):
    """What all trackers share: rows become numbers by name, evaluations become pictures.

    Args:
        pictures: what to draw of the model at each evaluation; None draws nothing.
    """

    def __init__(self, pictures: Pictures | None = None):
        self.pictures = pictures

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Record numbers under names like "validation/elbo"."""
        raise NotImplementedError

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record a picture, uint8 (height, width, 3)."""
        raise NotImplementedError

    def on_row(self, row: Row) -> None:
        """Record a row."""
        values = {
            f"{row['split']}/{name}": value
            for name, value in row.items()
            if isinstance(value, float) and math.isfinite(value)
        }
        self.numbers(row["step"], values)

    def on_evaluation(self, step: int, model: Any) -> None:
        """Record pictures of the model."""
        for name, image in (self.pictures(model) if self.pictures else {}).items():
            self.picture(step, name, image)


class TensorBoard(Tracker):
    """Event files for TensorBoard: `tensorboard --logdir FOLDER`.

    Args:
        folder: where they go.
        pictures: see `Tracker`.
    """

    def __init__(self, folder: str | Path, pictures: Pictures | None = None):
        super().__init__(pictures)
        self.folder = Path(folder)

    def on_start(self, step: int) -> None:
        """Open a file; what an interrupted run wrote beyond `step` is not shown any more."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Record numbers."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record a picture."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def on_end(self) -> None:
        """Close the file."""
        self._writer.close()


class WandB(Tracker):
    """Weights & Biases, with the extra `wandb`.

    Args:
        pictures: see `Tracker`.
        options: of `wandb.init`, such as project="digits" or mode="offline"; with id="..." and
            resume="allow" a run that goes on stays one run there.
    """

    def __init__(self, pictures: Pictures | None = None, **options: Any):
        super().__init__(pictures)
        self.options = options

    def on_start(self, step: int) -> None:  # noqa: ARG002
        """Begin a run there."""
        import wandb  # type: ignore[import-not-found]

        self._wandb, self._run = wandb, wandb.init(**self.options)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Record numbers."""
        self._run.log(values, step=step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record a picture."""
        self._run.log({name: self._wandb.Image(image)}, step=step)

    def on_end(self) -> None:
        """End the run there."""
        self._run.finish()


class MLflow(Tracker):
    """MLflow, with the extra `mlflow`.

    Args:
        pictures: see `Tracker`.
        options: of `mlflow.start_run`, such as run_name="digits"; with run_id="..." a run that
            goes on stays one run there.
    """

    def __init__(self, pictures: Pictures | None = None, **options: Any):
        super().__init__(pictures)
        self.options = options

    def on_start(self, step: int) -> None:  # noqa: ARG002
        """Begin a run there."""
        import mlflow  # type: ignore[import-not-found]

        self._mlflow = mlflow
        mlflow.start_run(**self.options)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Record numbers."""
        self._mlflow.log_metrics(values, step=step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record a picture."""
        self._mlflow.log_image(image, f"{name}/{step:08d}.png")

    def on_end(self) -> None:
        """End the run there."""
        self._mlflow.end_run()
