"""Tiny models with a prior, and what trains, saves and evaluates them."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from workshop.generative_models.core.configuration import (
    ConditionalVAEConfig,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
)
from workshop.generative_models.models.vae import VAE, ConditionalVAE
from workshop.generative_models.training import Trainer

X = np.random.default_rng(0).random((6, 4), np.float32)
Y = np.array([0, 1, 2, 2, 1, 0])


def model_with(*, classes: int | None = None, seed: int = 0, **components: Any) -> VAE:
    """Return a model of four features and two latents with a prior, and other components."""
    networks = {
        "encoder": EncoderConfig(hidden_dims=(4,), latent_dim=2, input_shape=(4,)),
        "decoder": DecoderConfig(hidden_dims=(4,), latent_dim=2, output_shape=(4,)),
        "likelihood": "bce",
        **components,
    }
    if classes is None:
        return VAE(VAEConfig(**networks), rngs=nnx.Rngs(seed))
    config = ConditionalVAEConfig(**networks, condition_dim=classes)
    return ConditionalVAE(config, rngs=nnx.Rngs(seed))


def fit(model: VAE, folder: Path, steps: int, *, data: Any = X, resume: bool = False) -> None:
    """Train a model in a folder."""
    trainer = Trainer(model, batch_size=3, folder=folder, progress=False)
    trainer.fit(data, steps=steps, resume=resume)


def saved_state(model: VAE) -> dict[str, Any]:
    """Return all that a saved model holds: parameters and statistics, but no random streams."""
    return nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.RngState)))


def check_same(one: VAE, other: VAE) -> None:
    """Check that two models hold the same numbers, bit for bit."""
    jax.tree.map(np.testing.assert_array_equal, saved_state(one), saved_state(other))


def check_resumes_and_saves(make: Any, folder: Path, data: Any = X) -> VAE:
    """Check that a run in two parts, saved and loaded, is the same as one in a whole; return it."""
    models = [make() for _ in range(3)]
    fit(models[0], folder / "whole", 4, data=data)
    fit(models[1], folder / "parts", 2, data=data)
    fit(models[2], folder / "parts", 4, data=data, resume=True)
    check_same(models[0], models[2])
    models[2].save_pretrained(folder / "saved")
    loaded = type(models[2]).from_pretrained(folder / "saved")
    check_same(loaded, models[2])
    return loaded
