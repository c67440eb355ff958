"""Generative models: components, models, data, training, evaluation, pictures."""
