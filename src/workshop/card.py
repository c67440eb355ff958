"""A model card: what a model is, how to load it, and how good it was found to be."""

from workshop.generative_models.models.card import model_card

__all__ = ["model_card"]
