"""Callbacks, trackers, the metrics file and the progress bar."""

from workshop.generative_models.tracking.callbacks import Callback, Row, StopTraining
from workshop.generative_models.tracking.trackers import MLflow, TensorBoard, WandB

__all__ = ["Callback", "MLflow", "Row", "StopTraining", "TensorBoard", "WandB"]
