"""Small models of every kind, of odd sizes, and their exports, made once."""

import importlib.util
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import (
    MODEL_CONFIGS,
    DecoderConfig,
    EncoderConfig,
    PriorConfig,
)
from workshop.generative_models.export import export_model, load_exported
from workshop.generative_models.models.saving import build_model

CASES = {
    "vae": ("vae", "cnn", {}),
    "beta-vae": ("beta-vae", "dense", {}),
    "beta-vae-capacity": ("beta-vae-capacity", "dense", {}),
    "conditional-vae": ("conditional-vae", "dense", {"condition_dim": 3}),
    "vq-vae": ("vq-vae", "cnn", {"num_embeddings": 7, "embedding_dim": 2}),
    "with a prior": ("vq-vae", "dense", {"num_embeddings": 7, "embedding_dim": 2}),
}
EVENT = {"cnn": (7, 5, 1), "dense": (6,)}
USAGE = np.random.default_rng(3).integers(0, 5, (6, 7))
"""Counts of seven codes at each position; some are never used."""
HIDDEN = {"cnn": (4,), "dense": (8,)}


@cache
def make(case: str):
    """Return a model whose weights are not those of a start: biases and usage too."""
    name, kind, more = CASES[case]
    shape, hidden = EVENT[kind], HIDDEN[kind]
    config = MODEL_CONFIGS[name](
        encoder=EncoderConfig(hidden_dims=hidden, latent_dim=4, input_shape=shape),
        decoder=DecoderConfig(hidden_dims=hidden[::-1], latent_dim=4, output_shape=shape),
        encoder_type=kind,
        **more,
    )
    model = build_model(name, config, rngs=nnx.Rngs(0))
    if case == "with a prior":
        prior = PriorConfig(layers=1, width=8, heads=2)
        model.prior = model.new_prior(prior, num_classes=3, rngs=nnx.Rngs(1))
    rng = np.random.default_rng(2)  # of numpy, which compiles nothing
    for leaf in jax.tree.leaves(nnx.state(model, nnx.Param), is_leaf=_variable):
        noise = 0.3 * rng.standard_normal(leaf.shape)
        leaf[...] = jnp.asarray(np.asarray(leaf[...]) + noise, jnp.float32)
    if hasattr(model, "usage"):
        model.usage[...] = jnp.asarray(USAGE, jnp.float32)[: len(model.usage[...])]
    model.eval()
    return model


def _variable(x):
    return isinstance(x, nnx.Variable)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Return a function that gives the folder of a case's export, its manifest and functions."""

    @cache
    def made(case: str, to: str):
        if to == "onnx" and not all(map(importlib.util.find_spec, ("jax2onnx", "onnxruntime"))):
            pytest.skip("needs the extra: pip install 'workshop-vae[onnx]'")
        folder = tmp_path_factory.mktemp("export") / "made"
        manifest = export_model(make(case), folder, to)
        return folder, manifest, load_exported(folder)

    return made


@pytest.fixture(scope="session")
def model():
    """Return a function that gives a case's model."""
    return make
