"""What each model offers to be exported: encode, decode, reconstruct and sample."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ..core.distributions import StandardNormal
from ..core.modules import set_numerics
from ..models.vae import VAE
from .codes import TEMPERATURE, codes_by_usage, settled_examples, settled_noise
from .functions import BATCH, Draw, Function, Tensor

_X, _RECONSTRUCTION = ("x",), ("reconstruction",)
_OWN_DRAWS = (
    "the prior draws from JAX's own random numbers, which ONNX has no operator for; draw latents "
    "or codes with workshop, and decode them"
)


def functions_of(model: VAE) -> dict[str, Function]:
    """Return encode, decode, reconstruct and sample of a model in eval mode, by name.

    Nothing is drawn inside: what `sample` draws is an input, so that its outputs can be repeated
    anywhere. Only a prior over codes, and one that is not N(0, I), draws by itself, from a seed for
    each example. All compute in float32: in half precision no two programs would agree.
    """
    if model.event_shape is None:
        raise ValueError(
            "the model does not know the shape of its examples: give the decoder an attribute "
            "output_shape to export it"
        )
    if model.conditional and not model.reads_classes:
        raise ValueError(
            "the model's own networks read a condition of unknown shape, and only models that read "
            "classes can be exported: wrap the networks in ConditionalEncoder and "
            "ConditionalDecoder, or save the weights alone"
        )
    model = nnx.clone(model)
    model.eval()
    set_numerics(model, dtype=jnp.float32)
    made = _discrete(model) if model.has_codes else _continuous(model)
    return {function.name: function for function in made}


def _continuous(model: Any) -> list[Function]:
    latents, classes = model.latent_shape, model.num_classes
    x = _examples(model, lambda rng, n: rng.random((n, *model.event_shape)))
    z = _input("z", latents, model.support.about, _latents(model))
    y = () if classes is None else (_labels(classes, "-1"),)

    def given(y: tuple[jax.Array, ...]) -> dict[str, Any]:
        return {"y": y[0]} if y else {}

    def reconstruct(x: jax.Array, *y: jax.Array) -> tuple[jax.Array]:
        return (model.reconstruct(x, deterministic=True, **given(y)),)

    def from_noise(noise: jax.Array, temperature: jax.Array, *y: jax.Array) -> tuple[jax.Array]:
        return (model.decode(temperature * noise, *y),)

    def one(temperature: jax.Array, streams: nnx.Rngs, *y: jax.Array) -> jax.Array:
        return model.sample(1, temperature=temperature, rngs=streams, **given(y))[0]

    any_class = () if classes is None else (jnp.zeros(1, jnp.int32),)
    if isinstance(model.p_z(**given(any_class)), StandardNormal):
        noise = _input("noise", latents, "standard normal numbers", _normal(latents))
        about, inputs = "E[x|z] at z = temperature * noise", (noise, _temperature(), *y)
        sample = Function("sample", about, from_noise, inputs, _X)
    else:
        sample = _by_seed("x of latents that the prior draws", one, y)
    about, at_mean = "mean and log-variance of q(z|x)", "E[x|z] at the mean of q(z|x)"
    return [
        Function("encode", about, lambda *a: model.encode(*a), (x, *y), ("mean", "log_var")),
        Function("decode", "E[x|z]", lambda *a: (model.decode(*a),), (z, *y), _X),
        Function("reconstruct", at_mean, reconstruct, (x, *y), _RECONSTRUCTION),
        sample,
    ]


def _discrete(model: Any) -> list[Function]:
    shape, size = model.code_shape, model.num_embeddings
    x = _examples(model, partial(settled_examples, model))

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.integers(0, size, (n, *shape))

    codes = _input("codes", shape, f"codes, 0 <= code < {size}", draw, "int32")

    def encode(x: jax.Array) -> tuple[jax.Array]:
        return (model.encode_indices(x),)

    def reconstruct(x: jax.Array) -> tuple[jax.Array]:
        return (model.reconstruct(x, deterministic=True),)

    sample = _by_usage(model) if model.code_prior is None else _by_prior(model)
    return [
        Function("encode", "the codes of x", encode, (x,), ("codes",)),
        Function("decode", "x of codes", lambda c: (model.decode_indices(c),), (codes,), _X),
        Function("reconstruct", "x of the codes of x", reconstruct, (x,), _RECONSTRUCTION),
        sample,
    ]


def _by_usage(model: Any) -> Function:
    """Return the sampling of each position's code by its usage in training, without a prior."""

    def run(noise: jax.Array, temperature: jax.Array) -> tuple[jax.Array]:
        return (model.decode_indices(codes_by_usage(model.usage[...], noise, temperature)),)

    chosen = "uniform numbers in [0, 1), which choose each position's code by its usage in training"
    noise = _input("noise", model.code_shape, chosen, partial(settled_noise, model))
    about = "x of codes that are drawn by their usage in training"
    return Function("sample", about, run, (noise, _temperature()), _X)


def _by_prior(model: Any) -> Function:
    """Return the sampling by the model's prior, each example from a seed of its own."""
    prior = model.code_prior
    classes = prior.num_classes

    def one(temperature: jax.Array, streams: nnx.Rngs, *y: jax.Array) -> jax.Array:
        codes = prior.sample(1, temperature=temperature, y=y[0] if y else None, rngs=streams)
        return model.decode_indices(codes)[0]

    y = () if classes is None else (_labels(classes, str(classes)),)
    return _by_seed("x of codes that the prior draws", one, y)


def _by_seed(about: str, one: Callable[..., jax.Array], y: tuple[Tensor, ...]) -> Function:
    """Return the sampling of a prior that draws by itself; `one` makes one example of streams."""

    def run(seed: jax.Array, temperature: jax.Array, *y: jax.Array) -> tuple[jax.Array]:
        def of_seed(seed: jax.Array, *y: jax.Array) -> jax.Array:
            return one(temperature, nnx.Rngs(jax.random.key(seed)), *y)

        return (jax.vmap(of_seed)(seed, *y),)

    seed = _input("seed", (), "a seed for each example", lambda _, n: np.arange(n), "int32")
    inputs = (seed, _temperature(), *y)
    return Function("sample", about, run, inputs, _X, left_out_of=("onnx",), why=_OWN_DRAWS)


def _input(
    name: str, shape: tuple[int, ...], about: str, draw: Draw, dtype: str = "float32"
) -> Tensor:
    return Tensor(name, (BATCH, *shape), dtype, about, draw)


def _examples(model: Any, draw: Draw) -> Tensor:
    return _input("x", model.event_shape, "examples, scaled as in training", draw)


def _labels(classes: int, none: str) -> Tensor:
    about = f"classes, 0 <= y < {classes}; {none} is no class"
    return _input("y", (), about, lambda rng, n: rng.integers(0, classes, n), "int32")


def _temperature() -> Tensor:
    about = "above 1 more varied, below 1 less"
    return Tensor("temperature", (), "float32", about, lambda *_: np.asarray(TEMPERATURE))


def _latents(model: Any) -> Draw:
    draw, support = _normal(model.latent_shape), model.support
    return lambda rng, n: np.asarray(support.project(jnp.asarray(draw(rng, n), jnp.float32)))


def _normal(shape: tuple[int, ...]) -> Draw:
    return lambda rng, n: rng.standard_normal((n, *shape))
