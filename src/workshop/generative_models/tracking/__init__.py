"""Who listens to a run: callbacks, the metrics file, the progress bar, trackers."""

from workshop.generative_models.tracking.callbacks import Callback, Row
from workshop.generative_models.tracking.trackers import MLflow, TensorBoard, WandB

__all__ = ["Callback", "MLflow", "Row", "TensorBoard", "WandB"]
