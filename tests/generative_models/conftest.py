"""A small model and data for tests of training."""

import jax
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
    VQVAEConfig,
)
from workshop.generative_models.models.vae import VAE, VQVAE

FEATURES, LATENTS = 6, 2


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).random((50, FEATURES), np.float32)


def parts() -> dict:
    return {
        "encoder": EncoderConfig(hidden_dims=(8,), latent_dim=LATENTS, input_shape=(FEATURES,)),
        "decoder": DecoderConfig(hidden_dims=(8,), latent_dim=LATENTS, output_shape=(FEATURES,)),
    }


@pytest.fixture
def make_vae():
    return lambda: VAE(VAEConfig(**parts()), rngs=nnx.Rngs(0))


@pytest.fixture
def make_vqvae():
    config = VQVAEConfig(**parts(), num_embeddings=5, embedding_dim=1)
    return lambda: VQVAE(config, rngs=nnx.Rngs(0))


@pytest.fixture
def programs():
    """The name of every program that is lowered during a test, as in `jit(train_steps)`."""
    names = []

    def lowered(event, _, fun_name="", **__):
        if event == "/jax/core/compile/jaxpr_to_mlir_module_duration":
            names.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(lowered)
    yield names
    jax.monitoring.unregister_event_duration_listener(lowered)


@pytest.fixture
def weights():
    """Return a function that gives all weights of a model as one list of arrays."""
    return lambda model: [np.asarray(a) for a in jax.tree.leaves(nnx.state(model, nnx.Param))]
