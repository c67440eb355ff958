"""The `workshop` command: train a model, look at it, measure it."""

from workshop.cli.app import main

__all__ = ["main"]
