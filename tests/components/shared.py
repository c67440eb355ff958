"""What a model with a component of one's own must be able to do."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from workshop.cli.explore.session import Session
from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.data import Dataset, Split
from workshop.generative_models.evaluation.bounds import elbo, importance_weighted_bound
from workshop.generative_models.evaluation.study import Settings, Study
from workshop.generative_models.evaluation.summary import evaluate
from workshop.generative_models.export import export_model, load_exported
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.training import Trainer

X = np.random.default_rng(0).random((60, 6), np.float32)


def live_through(folder: Path, **component: Any) -> VAE:
    """Train, resume, save, load, evaluate, export and explore a model; return it."""
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=[8], latent_dim=2, input_shape=[6]),
        decoder=DecoderConfig(hidden_dims=[8], latent_dim=2, output_shape=[6]),
        likelihood="bce",
        **component,
    )
    assert VAEConfig.model_validate_json(config.model_dump_json()) == config
    models = [VAE(config, rngs=nnx.Rngs(0)) for _ in range(3)]
    train(models[0], folder / "whole", 6)
    train(models[1], folder / "parts", 3)
    train(models[2], folder / "parts", 6, resume=True)
    same(models[0], models[2])
    models[2].save_pretrained(folder / "saved")
    model = VAE.from_pretrained(folder / "saved")
    same(model, models[2])
    assert np.isfinite(elbo(model, X[:5])).all()
    # More samples cannot lower the bound, but for its spread.
    bounds = [importance_weighted_bound(model, X, samples=k).mean() for k in (1, 200)]
    assert bounds[1] > bounds[0]
    study = Study(model, Split(X), Split(X[:20]), Settings(samples=20, generated=100))
    assert {"likelihood", "latents"} <= dict(evaluate(study, quick=True)).keys()
    export_model(model, folder / "exported", "stablehlo")
    made = load_exported(folder / "exported")["decode"](np.zeros((3, 2), np.float32))
    np.testing.assert_allclose(made, model.decode(np.zeros((3, 2))), atol=1e-5)
    session = Session(model, Dataset("blobs", Split(X), Split(X[:5]), Split(X[:5])))
    assert session.decode(session.random(0)[None]).shape == (1, 6)
    return model


def train(model: VAE, folder: Path, steps: int, *, resume: bool = False) -> None:
    trainer = Trainer(model, batch_size=20, folder=folder, progress=False)
    trainer.fit(X, steps=steps, resume=resume)


def same(one: Any, other: Any) -> None:
    """Check that two models have the same parameters, bit for bit."""
    states = [nnx.to_pure_dict(nnx.state(model, nnx.Param)) for model in (one, other)]
    jax.tree.map(np.testing.assert_array_equal, *states)
