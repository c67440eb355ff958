"""The models by name."""

from typing import Any

MODELS: dict[str, type[Any]] = {}
"""The models by the names that the command line and a saved run use; `models.vae` adds its own."""


def name_of(model: Any) -> str | None:
    """Return the name of a model's class; None for a class of your own."""
    return next((name for name, kind in MODELS.items() if kind is type(model)), None)
