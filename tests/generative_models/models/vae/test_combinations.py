"""Posterior, prior and objective multiply: each combination works, or is refused by name.

Every combination is built, and its gradient and its samples are traced. One in five also runs:
without jit, so that combinations share the compiled operations of their shapes.
"""

import re
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from workshop.generative_models.core.configuration import (
    COMPONENT_CONFIGS,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
)
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.objectives import OBJECTIVES
from workshop.generative_models.models.vae.posteriors import POSTERIORS
from workshop.generative_models.models.vae.priors import PRIORS

X = np.random.default_rng(0).random((4, 4, 4, 1), np.float32)
SMALL: dict[str, Any] = {
    "hidden_dims": (4,), "samples": 2, "groups": 2, "flows": 1, "components": 2, "bins": 2,
    "reflections": 2, "window": 3, "layers": ("relu1_1",),
}  # fmt: skip
"""Values of fields that decide how large a component is."""


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The file of a feature network with one layer."""
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    weights = {"features.0.weight": np.ones((2, 3, 3, 3)), "features.0.bias": np.zeros(2)}
    save_file({name: array.astype(np.float32) for name, array in weights.items()}, path)
    return str(path)


def small(field: str, kind: str, network: str) -> Any:
    """Return the configuration of a small component."""
    config = COMPONENT_CONFIGS[field][kind]
    sizes = SMALL | {"path": network}
    return config(**{name: sizes[name] for name in config.model_fields.keys() & sizes.keys()})


def combinations():
    """Return combinations that hold each pair of two components of different kinds.

    Priors take turns: with more objectives, and more posteriors of a support, than there are priors
    of it, each prior meets each posterior and each objective.
    """
    by_support: dict[str, list[str]] = {}
    for kind, prior in PRIORS.items():
        by_support.setdefault(prior.support, []).append(kind)
    for i, (q, posterior) in enumerate(POSTERIORS.items()):
        own = by_support[posterior.support]
        for j, objective in enumerate(OBJECTIVES):
            yield q, own[(i + j) % len(own)], objective, (2 * i + j) % 5 == 0
        for p, prior in PRIORS.items():
            if prior.support != posterior.support:
                yield q, p, "elbo", False


def loss_of(model: VAE):
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    def loss(params: Any, key: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
        model = nnx.merge(graphdef, params, rest, copy=True)
        losses = model.loss_fn(batch=X, rng=key, num_examples=20, step=0)
        return losses["total_loss"] + losses.get("critic_loss", 0.0), losses

    return params, jax.value_and_grad(loss, has_aux=True)


def losses_of_two_steps(model: VAE) -> list[float]:
    params, gradient_of = loss_of(model)
    found = []
    for key in jax.random.split(jax.random.key(0)):
        (value, losses), gradient = gradient_of(params, key)
        params = jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient)
        found += [float(value), *map(float, jax.tree.leaves(jax.tree.map(np.max, gradient)))]
        if "statistics" in losses:
            model.update_statistics(losses["statistics"])
    nnx.update(model, params)
    return found


@pytest.mark.parametrize(("q", "p", "loss", "runs"), list(combinations()))
def test_a_combination_trains_and_samples_or_is_refused(q, p, loss, runs, network):
    parts = {"posterior": q, "prior": p, "objective": loss}
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=(4,), latent_dim=2, input_shape=X.shape[1:]),
        decoder=DecoderConfig(hidden_dims=(4,), latent_dim=2, output_shape=X.shape[1:]),
        **{name: small(name, kind, network) for name, kind in parts.items()},
    )
    assert VAEConfig.model_validate_json(config.model_dump_json()) == config
    refusal = None
    try:
        model = VAE(config, rngs=nnx.Rngs(0))
    except ValueError as error:
        refusal = str(error)
    if refusal is not None:
        names = ["VAE", POSTERIORS[q].__name__, PRIORS[p].__name__, OBJECTIVES[loss].__name__]
        assert sum(bool(re.search(rf"\b{name}\b", refusal)) for name in names) >= 2, refusal
        return
    if not runs:
        params, gradient_of = loss_of(model)
        (_, losses), _ = jax.eval_shape(gradient_of, params, jax.random.key(0))
        assert {"total_loss", "reconstruction_loss"} <= losses.keys()
        graphdef, state = nnx.split(model)

        def samples(state: Any) -> jax.Array:
            return nnx.merge(graphdef, state, copy=True).sample(2, rngs=nnx.Rngs(0))

        assert jax.eval_shape(samples, state).shape == (2, *X.shape[1:])
        return
    assert np.isfinite(losses_of_two_steps(model)).all()
    assert np.isfinite(model.sample(2, rngs=nnx.Rngs(0))).all()
    assert np.isfinite(model.reconstruct(X[:1], deterministic=True)).all()
