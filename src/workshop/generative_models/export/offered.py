"""What each model offers to be exported: encode, decode, reconstruct and sample."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core.modules import set_numerics
from workshop.generative_models.export.codes import (
    TEMPERATURE,
    codes_by_usage,
    event_of,
    settled_examples,
    settled_noise,
)
from workshop.generative_models.export.functions import BATCH, Draw, Function, Tensor
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.models.vae.priors import StandardNormalPrior


def functions_of(model: VAE) -> dict[str, Function]:
    """Return encode, decode, reconstruct and sample of a model in eval mode, by name.

    Nothing is drawn inside: what `sample` draws is an input, so that its outputs can be repeated
    anywhere. Only a prior over codes, and one that is not N(0, I), draws by itself, from a seed for
    each example.
    All compute in float32, as parameters are kept: in half precision no two programs would agree.

    Args:
        model: a model that knows the shape of its examples.

    Raises:
        ValueError: if it does not.
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


def _continuous(model: VAE) -> list[Function]:
    latents: tuple[int | str, ...] = (BATCH, *model.latent_shape)
    x = _examples(model, lambda rng, n: rng.random((n, *event_of(model))))
    z = Tensor("z", latents, "float32", "latents", _normal(model.latent_shape))
    y = () if model.num_classes is None else (_labels(model.num_classes, "-1"),)

    def reconstruct(x: jax.Array, *y: jax.Array) -> tuple[jax.Array]:
        condition: Any = {"y": y[0]} if y else {}
        return (model.reconstruct(x, deterministic=True, **condition),)

    return [
        Function(
            "encode",
            "mean and log-variance of q(z|x)",
            lambda x, *y: model.encode(x, *y),
            (x, *y),
            ("mean", "log_var"),
        ),
        Function("decode", "E[x|z]", lambda z, *y: (model.decode(z, *y),), (z, *y), ("x",)),
        Function(
            "reconstruct", "E[x|z] at the mean of q(z|x)", reconstruct, (x, *y), ("reconstruction",)
        ),
        _from_noise(model, y)
        if isinstance(model.prior, StandardNormalPrior)
        else _by_seed(
            "x of latents that the prior draws",
            lambda temperature, streams, *y: model.sample(
                1, temperature=temperature, rngs=streams, **({"y": y[0]} if y else {})
            )[0],
            y,
        ),
    ]


def _from_noise(model: VAE, y: tuple[Tensor, ...]) -> Function:
    """Return the sampling of a standard normal prior, from the noise."""
    shape: tuple[int | str, ...] = (BATCH, *model.latent_shape)
    noise = Tensor(
        "noise", shape, "float32", "standard normal numbers", _normal(model.latent_shape)
    )
    return Function(
        "sample",
        "E[x|z] at z = temperature * noise",
        lambda noise, temperature, *y: (model.decode(temperature * noise, *y),),
        (noise, _temperature(), *y),
        ("x",),
    )


def _discrete(model: Any) -> list[Function]:
    shape, size = model.code_shape, model.num_embeddings
    x = _examples(model, partial(settled_examples, model))
    codes = Tensor(
        "codes",
        (BATCH, *shape),
        "int32",
        f"codes, 0 <= code < {size}",
        lambda rng, n: rng.integers(0, size, (n, *shape)),
    )
    return [
        Function(
            "encode", "the codes of x", lambda x: (model.encode_indices(x),), (x,), ("codes",)
        ),
        Function("decode", "x of codes", lambda c: (model.decode_indices(c),), (codes,), ("x",)),
        Function(
            "reconstruct",
            "x of the codes of x",
            lambda x: (model.reconstruct(x, deterministic=True),),
            (x,),
            ("reconstruction",),
        ),
        _by_usage(model) if model.code_prior is None else _by_prior(model),
    ]


def _by_usage(model: Any) -> Function:
    """Return the sampling of each position's code by its usage in training, without a prior."""

    def run(noise: jax.Array, temperature: jax.Array) -> tuple[jax.Array]:
        return (model.decode_indices(codes_by_usage(model.usage[...], noise, temperature)),)

    noise = Tensor(
        "noise",
        (BATCH, *model.code_shape),
        "float32",
        "uniform numbers in [0, 1), which choose each position's code by its usage in training",
        partial(settled_noise, model),
    )
    about = "x of codes that are drawn by their usage in training"
    return Function("sample", about, run, (noise, _temperature()), ("x",))


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
    """Return the sampling of a prior that draws by itself, each example from a seed of its own.

    Args:
        about: what it returns.
        one: temperature, random streams and perhaps a class to one example.
        y: the classes, if the prior reads them.
    """

    def run(seed: jax.Array, temperature: jax.Array, *y: jax.Array) -> tuple[jax.Array]:
        def of_seed(seed: jax.Array, *y: jax.Array) -> jax.Array:
            return one(temperature, nnx.Rngs(jax.random.key(seed)), *y)

        return (jax.vmap(of_seed)(seed, *y),)

    seed = Tensor("seed", (BATCH,), "int32", "a seed for each example", lambda _, n: np.arange(n))
    return Function(
        "sample",
        about,
        run,
        (seed, _temperature(), *y),
        ("x",),
        left_out_of=("onnx",),
        why="the prior draws from JAX's own random numbers, which ONNX has no operator for; draw "
        "latents or codes with workshop, and decode them",
    )


# Inputs.


def _examples(model: VAE, draw: Draw) -> Tensor:
    return Tensor(
        "x", (BATCH, *event_of(model)), "float32", "examples, scaled as in training", draw
    )


def _labels(classes: int, none: str) -> Tensor:
    about = f"classes, 0 <= y < {classes}; {none} is no class"
    return Tensor("y", (BATCH,), "int32", about, lambda rng, n: rng.integers(0, classes, n))


def _temperature() -> Tensor:
    about = "above 1 more varied, below 1 less"
    return Tensor("temperature", (), "float32", about, lambda *_: np.asarray(TEMPERATURE))


def _normal(shape: tuple[int, ...]) -> Draw:
    return lambda rng, n: rng.standard_normal((n, *shape))
