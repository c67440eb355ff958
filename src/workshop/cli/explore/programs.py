"""The compiled programs of a session: once for each architecture and each number of rows."""

import functools
from typing import Any

import jax

from workshop.generative_models.evaluation.passes import restored


@functools.partial(jax.jit, static_argnames="graphdef")
def encoded(graphdef: Any, state: Any, x: jax.Array, condition: dict[str, Any]) -> jax.Array:
    """Return the means of q(z|x), or encodings."""
    return restored(graphdef, state).encode(x, **condition)[0]


@functools.partial(jax.jit, static_argnames="graphdef")
def decoded(graphdef: Any, state: Any, z: jax.Array, condition: dict[str, Any]) -> jax.Array:
    """Return what latents stand for, by the model's own latent rule."""
    model = restored(graphdef, state)
    return model.decode(model.decoder_input(z), **condition)


@functools.partial(jax.jit, static_argnames="graphdef")
def decoded_codes(
    graphdef: Any,
    state: Any,
    codes: jax.Array,
    condition: dict[str, Any],  # noqa: ARG001 - of all programs alike; codes have none
) -> jax.Array:
    """Return what codes stand for."""
    return restored(graphdef, state).decode_indices(codes)


@functools.partial(jax.jit, static_argnames="graphdef")
def nearest_codes(graphdef: Any, state: Any, encoding: jax.Array) -> jax.Array:
    """Return the codes of encodings."""
    model = restored(graphdef, state)
    return model.quantize(encoding, deterministic=True)[1]["encoding_indices"]


@functools.partial(jax.jit, static_argnames="graphdef")
def vectors(graphdef: Any, state: Any, codes: jax.Array) -> jax.Array:
    """Return the vectors of codes."""
    return restored(graphdef, state).quantizer.lookup(codes)
