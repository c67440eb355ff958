"""Small models for the tests of this folder: every model on every kind of network."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import (
    MODEL_CONFIGS,
    AutoencoderConfig,
    DecoderConfig,
    EncoderConfig,
)
from workshop.generative_models.models.vae import MODELS

EVENT = (9, 6, 2)  # odd and not square; halved twice it is a map of 2 x 1

HIDDEN_DIMS = {"dense": (4, 8), "cnn": (4, 8), "resnet": (8,)}

# Values that no default has, so that a field that is not read shows.
FIELDS: dict[str, dict[str, Any]] = {
    "vae": {"kl_weight": 0.5},
    "beta-vae": {"beta_default": 4.0, "beta_warmup_steps": 10},
    "beta-vae-capacity": {
        "beta_default": 4.0,
        "beta_warmup_steps": 10,
        "use_capacity_control": True,
        "capacity_max": 5.0,
        "capacity_num_iter": 10,
        "gamma": 10.0,
    },
    "conditional-vae": {"condition_dim": 3},
    "vq-vae": {"num_embeddings": 5, "embedding_dim": 2, "commitment_cost": 0.5},
}


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly() -> Iterator[None]:
    """Spend no time on optimising programs that run once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def config_of(
    name: str,
    network: str = "dense",
    *,
    event: tuple[int, ...] = EVENT,
    latent_dim: int = 4,
    hidden_dims: tuple[int, ...] | None = None,
    both: dict[str, Any] | None = None,
    encoder: dict[str, Any] | None = None,
    decoder: dict[str, Any] | None = None,
    **fields: Any,
) -> AutoencoderConfig:
    hidden_dims = hidden_dims or HIDDEN_DIMS[network]
    shared = {"latent_dim": latent_dim, "activation": "tanh", **(both or {})}
    return MODEL_CONFIGS[name](
        encoder=EncoderConfig(
            **{"hidden_dims": hidden_dims, "input_shape": event, **shared, **(encoder or {})}
        ),
        decoder=DecoderConfig(
            **{"hidden_dims": hidden_dims[::-1], "output_shape": event, **shared, **(decoder or {})}
        ),
        encoder_type=network,
        **{**FIELDS[name], **fields},
    )


@functools.cache
def _built(name: str, config: AutoencoderConfig) -> nnx.Module:
    return MODELS[name](config, rngs=nnx.Rngs(params=1, sample=2))


@pytest.fixture(scope="session")
def make_config() -> Callable[..., AutoencoderConfig]:
    """Return what makes the config of a small model: (name, network, **changes)."""
    return config_of


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """Return what makes a small model of its own for a test: (name, network, **changes)."""

    def make(name: str, network: str = "dense", **changes: Any) -> Any:
        return nnx.clone(_built(name, config_of(name, network, **changes)))

    return make


@pytest.fixture(scope="session")
def images() -> jax.Array:
    """Three images in [0, 1]."""
    return jax.numpy.asarray(np.random.default_rng(0).random((3, *EVENT), np.float32))


@pytest.fixture(scope="session")
def state_of() -> Callable[[nnx.Module], list[np.ndarray]]:
    """Return what reads all the state of a model, random counts and keys too, as arrays."""

    def read(model: nnx.Module) -> list[np.ndarray]:
        leaves = jax.tree.leaves(nnx.state(model))
        return [
            np.asarray(jax.random.key_data(a))
            if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key)
            else np.array(a)
            for a in leaves
        ]

    return read
