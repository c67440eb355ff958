"""Posterior, prior and objective multiply: each combination works, or is refused by name.

Every combination is built, and its gradient and its samples are traced. Some are trained, saved,
loaded, evaluated and sampled. `make test` takes a part of both, `make test-all` takes all.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from workshop.generative_models.core.configuration import (
    COMPONENT_CONFIGS,
    MODEL_CONFIGS,
    DecoderConfig,
    EncoderConfig,
)
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation.bounds import importance_weighted_bound
from workshop.generative_models.models.vae import VAE, ConditionalVAE
from workshop.generative_models.models.vae.objectives import OBJECTIVES
from workshop.generative_models.models.vae.posteriors import POSTERIORS
from workshop.generative_models.models.vae.priors import PRIORS
from workshop.generative_models.training import Trainer

X = np.random.default_rng(0).random((8, 4, 4, 1), np.float32)
Y = (np.arange(8) % 2).astype(np.int32)
SMALL: dict[str, Any] = {
    "hidden_dims": (4,), "samples": 2, "groups": 2, "flows": 1, "components": 2, "bins": 2,
    "reflections": 2, "window": 3, "layers": ("relu1_1",),
}  # fmt: skip
"""Values of fields that decide how large a component is."""
CLASSES = {"vae": VAE, "conditional-vae": ConditionalVAE}


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


def built(kind: str, q: str, p: str, loss: str, network: str) -> VAE | ConditionalVAE | str:
    """Return a small model of a combination, or the error that refuses it."""
    parts = {"posterior": q, "prior": p, "objective": loss}
    classes = {} if kind == "vae" else {"condition_dim": 2}
    config = MODEL_CONFIGS[kind](
        encoder=EncoderConfig(hidden_dims=(4,), latent_dim=2, input_shape=X.shape[1:]),
        decoder=DecoderConfig(hidden_dims=(4,), latent_dim=2, output_shape=X.shape[1:]),
        **{name: small(name, each, network) for name, each in parts.items()},
        **classes,
    )
    assert type(config).model_validate_json(config.model_dump_json()) == config
    try:
        return CLASSES[kind](config, rngs=nnx.Rngs(0))
    except ValueError as error:
        return str(error)


def combinations() -> list[tuple[str, str, str]]:
    """Return combinations that hold each pair of two components of different kinds.

    Priors take turns: with more objectives, and more posteriors of a support, than there are priors
    of it, each prior meets each posterior and each objective.
    """
    by_support: dict[str, list[str]] = {}
    for kind, prior in PRIORS.items():
        by_support.setdefault(prior.support, []).append(kind)
    found = []
    for i, (q, posterior) in enumerate(POSTERIORS.items()):
        own = by_support[posterior.support]
        found += [(q, own[(i + j) % len(own)], loss) for j, loss in enumerate(OBJECTIVES)]
        found += [
            (q, p, "elbo") for p, prior in PRIORS.items() if prior.support != posterior.support
        ]
    return found


def cases() -> Iterator[Any]:
    """Yield a model's kind, its components, and whether it is trained; most as slow cases.

    One in six is trained, and half of these are conditional, as are all with a conditional prior.
    """
    for i, parts in enumerate(combinations()):
        turn = i + i // len(OBJECTIVES)
        trains = turn % 6 == 0
        conditional = trains and (turn % 12 == 0 or "conditional" in parts)
        kind = "conditional-vae" if conditional else "vae"
        quick = turn % 126 == 0 if trains else i % 8 == 0
        yield pytest.param(kind, *parts, trains, marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(("kind", "q", "p", "loss", "trains"), list(cases()))
def test_a_combination_works_or_is_refused(kind, q, p, loss, trains, network, tmp_path):
    model = built(kind, q, p, loss, network)
    if isinstance(model, str):
        parts = (POSTERIORS[q], PRIORS[p], OBJECTIVES[loss], CLASSES[kind])
        named = [cls for cls in parts if re.search(rf"\b{cls.__name__}\b", model)]
        assert len(named) >= 2, model
    elif trains:
        trains_saves_loads_evaluates_and_samples(model, {} if kind == "vae" else {"y": Y}, tmp_path)
    else:
        has_a_gradient_and_samples(model)


def has_a_gradient_and_samples(model: VAE) -> None:
    """Only trace them, which takes a tenth of the time of compiling them."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    def loss_of(params: Any, key: jax.Array) -> tuple[jax.Array, dict[str, Any]]:
        model = nnx.merge(graphdef, params, rest, copy=True)
        losses = model.loss_fn(batch=X, rng=key, num_examples=20, step=0)
        return losses["total_loss"] + losses.get("critic_loss", 0.0), losses

    gradient = jax.value_and_grad(loss_of, has_aux=True)
    (_, losses), _ = jax.eval_shape(gradient, params, jax.random.key(0))
    assert {"total_loss", "reconstruction_loss"} <= losses.keys()

    def samples(params: Any) -> jax.Array:
        return nnx.merge(graphdef, params, rest, copy=True).sample(2, rngs=nnx.Rngs(0))

    assert jax.eval_shape(samples, params).shape == (2, *X.shape[1:])


def trains_saves_loads_evaluates_and_samples(model: VAE, y: dict[str, Any], folder: Path) -> None:
    data = Split(X, **y)
    rows = Trainer(model, batch_size=4, progress=False).fit(data, steps=2)
    assert np.isfinite([row["loss"] for row in rows]).all()
    weights = jax.tree.leaves(nnx.state(model, nnx.Param))
    assert all(np.isfinite(weight).all() for weight in weights)
    model.save_pretrained(folder / "saved")
    again = type(model).from_pretrained(folder / "saved")
    found, kept = (Trainer(each, progress=False).evaluate(data) for each in (again, model))
    assert found == kept
    assert np.isfinite(list(found.values())).all()
    if again.has_density:
        assert np.isfinite(importance_weighted_bound(again, X, samples=2, **y)).all()
    else:
        with pytest.raises(ValueError, match=type(again.posterior).__name__):
            importance_weighted_bound(again, X, samples=2, **y)
    made, same = (np.asarray(each.sample(2, rngs=nnx.Rngs(0))) for each in (again, model))
    assert np.isfinite(made).all()
    np.testing.assert_array_equal(made, same)
