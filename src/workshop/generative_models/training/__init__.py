"""Training: a model and data in, a trained model and its history out."""

from workshop.generative_models.training.trainer import Trainer

__all__ = ["Trainer"]
