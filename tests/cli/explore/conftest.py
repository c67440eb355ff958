"""Runs of each kind of model, untrained, and sessions of them: what is shown need not be good."""

import json

import pytest
from flax import nnx

from workshop.cli.explore.session import Session
from workshop.cli.options import Start, default_config
from workshop.cli.runs import open_run
from workshop.generative_models.models.saving import build_model, save_config, save_weights

MODELS = ("vae", "conditional-vae", "vq-vae")


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("explored")
    for name in MODELS:
        config = default_config(Start(model=name, hidden_dims=(16,), latent_dim=4))
        model = build_model(name, config, rngs=nnx.Rngs(0))
        save_config(model, root / name, training={"data": "digits"})
        save_weights(model, root / name)
        rows = [{"step": step, "split": "train", "loss": 30.0 - step} for step in (1, 2)]
        (root / name / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return root


@pytest.fixture(scope="session")
def sessions(runs):
    """A session of each, without a page."""
    return {name: Session(*open_run(runs / name)[:2], points=100) for name in MODELS}
