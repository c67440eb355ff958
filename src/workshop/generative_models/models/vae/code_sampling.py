"""The compiled loop that draws the codes of a prior, and how each is chosen from its logits."""

import functools
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

UNKNOWN = -1
"""Stands for a code that is to be drawn."""


class Choice(NamedTuple):
    """How a code is chosen from its logits."""

    temperature: Float[Array, ""]
    guidance: Float[Array, ""] | None
    top_k: Int[Array, ""] | None
    top_p: Float[Array, ""] | None


@functools.partial(jax.jit, static_argnames="graphdef")
def draw_codes(
    graphdef: nnx.GraphDef,
    state: nnx.State,
    choice: Choice,
    labels: Int[Array, " batch"],
    given: Int[Array, "batch length"],
    keys: Key[Array, " batch"],
) -> Int[Array, "batch length"]:
    """Draw the codes that are `UNKNOWN` in `given`, one place of a `CodePrior` after another."""
    model = nnx.merge(graphdef, state, copy=True)
    guided = choice.guidance is not None
    length = prod(model.code_shape)
    if guided:  # each example goes twice: with its class, and without
        labels = jnp.concatenate([labels, jnp.full_like(labels, model.no_class)])
    for block in model.blocks:
        block.attention.init_cache((len(labels), length, model.positions.features))
    graphdef, caches, rest = nnx.split(model, nnx.Cache, ...)

    def step(carry: tuple[nnx.State, jax.Array], place: jax.Array) -> Any:
        caches, x = carry
        model = nnx.merge(graphdef, caches, rest, copy=True)
        logits = _guided(model.next_logits(x, labels, place), choice)
        place_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, place)
        drawn = jax.vmap(_chosen, (0, None, 0))(logits, choice, place_keys)
        codes = jnp.where(given[:, place] == UNKNOWN, drawn, given[:, place])
        seen = jnp.concatenate([codes, codes]) if guided else codes
        return (nnx.state(model, nnx.Cache), model._embed(seen, place)), codes

    first = jnp.zeros((len(labels), model.positions.features))
    _, codes = jax.lax.scan(step, (caches, first), jnp.arange(length))
    return codes.T


def _guided(logits: Float[Array, "rows values"], choice: Choice) -> Float[Array, "batch values"]:
    """Return logits moved towards the class, from those with it and those without."""
    if choice.guidance is None:
        return logits
    told, untold = jnp.split(logits, 2)
    return untold + choice.guidance * (told - untold)


def _chosen(logits: Float[Array, " values"], choice: Choice, key: Key[Array, ""]) -> Int[Array, ""]:
    """Draw one code."""
    if choice.top_k is not None or choice.top_p is not None:
        logits = _most_probable(logits, choice)
    # argmax(logits / T + noise) is a sample at temperature T; times T, it may be 0.
    noise = jax.random.gumbel(key, logits.shape)
    return jnp.argmax(logits + choice.temperature * noise).astype(jnp.int32)


def _most_probable(logits: Float[Array, " values"], choice: Choice) -> Float[Array, " values"]:
    """Return logits with -inf for codes that top_k or top_p leave out."""
    order = jnp.argsort(-logits, stable=True)
    ordered, places = logits[order], jnp.arange(len(logits))
    kept = jnp.ones(len(logits), bool) if choice.top_k is None else places < choice.top_k
    if choice.top_p is not None:
        tempered = jnp.where(kept, ordered, -jnp.inf) / jnp.maximum(choice.temperature, 1e-6)
        before = jnp.cumsum(jax.nn.softmax(tempered)) - jax.nn.softmax(tempered)
        # The first one always stays, and all at 1, whatever the sum is rounded to.
        kept &= (before < choice.top_p) | (places == 0) | (choice.top_p >= 1)
    return logits.at[order].set(jnp.where(kept, ordered, -jnp.inf))
