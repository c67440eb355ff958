"""Training: a model and data in, a trained model and its history out."""

from workshop.generative_models.training import distributed
from workshop.generative_models.training.callbacks import Callback
from workshop.generative_models.training.optimizers import create_optimizer, learning_rate_schedule
from workshop.generative_models.training.signals import Stopped
from workshop.generative_models.training.trackers import MLflow, TensorBoard, WandB
from workshop.generative_models.training.trainer import Trainer

__all__ = [
    "Callback",
    "MLflow",
    "Stopped",
    "TensorBoard",
    "Trainer",
    "WandB",
    "create_optimizer",
    "distributed",
    "learning_rate_schedule",
]
