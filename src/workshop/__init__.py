"""Workshop: variational autoencoders on JAX and Flax NNX.

The names below are imported when they are first used, since JAX takes a second or two to import.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workshop.estimator import VAEEstimator
    from workshop.generative_models.core.configuration import (
        BetaVAEConfig,
        BetaVAEWithCapacityConfig,
        ConditionalVAEConfig,
        DecoderConfig,
        EncoderConfig,
        VAEConfig,
        VQVAEConfig,
    )
    from workshop.generative_models.data import load_dataset
    from workshop.generative_models.models.vae import (
        VAE,
        VQVAE,
        BetaVAE,
        BetaVAEWithCapacity,
        ConditionalVAE,
    )
    from workshop.generative_models.training import Trainer

__version__ = "0.1.0"
__all__ = [
    "VAE",
    "VQVAE",
    "BetaVAE",
    "BetaVAEConfig",
    "BetaVAEWithCapacity",
    "BetaVAEWithCapacityConfig",
    "ConditionalVAE",
    "ConditionalVAEConfig",
    "DecoderConfig",
    "EncoderConfig",
    "Trainer",
    "VAEConfig",
    "VAEEstimator",
    "VQVAEConfig",
    "__version__",
    "load",
    "load_dataset",
]

_HOMES = {"VAEEstimator": "estimator", "load_dataset": "generative_models.data",
          "Trainer": "generative_models.training"}  # fmt: skip
"""Modules of the names that are neither configurations nor models."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'workshop' has no attribute {name!r}")
    package = "core.configuration" if name.endswith("Config") else "models.vae"
    home = _HOMES.get(name, f"generative_models.{package}")
    found = globals()[name] = getattr(importlib.import_module(f"workshop.{home}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load(run: str | Path) -> "VAE":
    """Return the model of a run folder, such as `workshop train` writes.

    If the run was stopped or still trains, that is the model of its newest checkpoint, and the log
    says of which step.

    It is in evaluation mode, as by `model.eval()`.

    Args:
        run: the folder, with `config.json`, and `model.safetensors` or `checkpoints/`.

    Raises:
        ValueError: if a file is missing or damaged.
    """
    from workshop.generative_models.models.restoring import load_run

    return load_run(run)
