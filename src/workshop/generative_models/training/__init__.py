"""Training: a model and data in, a trained model and its history out."""

from workshop.generative_models.core.optimizers import create_optimizer, learning_rate_schedule
from workshop.generative_models.devices import distributed
from workshop.generative_models.devices.signals import Stopped
from workshop.generative_models.tracking.callbacks import Callback, StopTraining
from workshop.generative_models.tracking.trackers import MLflow, TensorBoard, WandB
from workshop.generative_models.training.creation import create_trainer
from workshop.generative_models.training.trainer import Trainer

__all__ = [
    "Callback",
    "MLflow",
    "StopTraining",
    "Stopped",
    "TensorBoard",
    "Trainer",
    "WandB",
    "create_optimizer",
    "create_trainer",
    "distributed",
    "learning_rate_schedule",
]
