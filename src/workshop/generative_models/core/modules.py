"""Functions of modules of any class: call them, draw their keys, warn once about each."""

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import jax
from flax import nnx
from flax.errors import TraceContextError

from workshop.generative_models.core import checks

_METHOD_KEYWORDS = ("deterministic", "observation_noise", "range_vals", "steps", "temperature", "y")
"""Keywords of models' methods: a misspelt one reaches the networks as a condition."""


def call(
    module: Callable[..., Any], x: jax.Array, *, rngs: nnx.Rngs | None, **condition: Any
) -> Any:
    """Call a network, with `rngs` if it can take them, and with every condition."""
    names = inspect.signature(module).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in names.values())
    if takes_any:
        condition = {"rngs": rngs, **condition}
    elif unknown := [name for name in condition if name not in names]:
        raise TypeError(
            f"{type(module).__name__} got an unexpected keyword argument {unknown[0]!r}"
            f"{_way_out(unknown[0], [*names, *_METHOD_KEYWORDS])}"
        )
    elif "rngs" in names:
        condition = {"rngs": rngs, **condition}
    try:
        return module(x, **condition)
    except TraceContextError as error:
        raise ValueError(
            f"{type(module).__name__} changes its state in training mode, such as batch statistics "
            "or dropout's random stream, and cannot inside jax.jit, jax.vmap or jax.grad: call "
            "model.eval() first, or use nnx.jit with the model as an argument"
        ) from error


def _way_out(name: str, known: list[str]) -> str:
    if name in ("y", "condition"):
        return "; this model reads no class: leave it out, or use a ConditionalVAE"
    return "" if name in known else checks.nearest(name, known)


_said: WeakKeyDictionary[nnx.Module, set[str]] = WeakKeyDictionary()


def warn_once(model: nnx.Module, message: str, *arguments: Any) -> None:
    """Log a warning about a model, unless the same message was logged before about it."""
    said = _said.setdefault(model, set())
    if message not in said:
        said.add(message)
        logging.getLogger("workshop").warning(message, *arguments)


def in_evaluation_mode(model: Any) -> Any:
    """Return a copy of a model in evaluation mode; the model and its mode stay as they are."""
    copy = nnx.clone(model)
    copy.eval()
    _said[copy] = _said.setdefault(model, set())  # to a reader they are one model
    return copy


def set_numerics(module: nnx.Module, *, dtype: Any = None, precision: Any = None) -> None:
    """Set the type to compute in, and the precision of products, of every layer of a module."""
    chosen = {"dtype": dtype, "precision": precision}
    for _, layer in nnx.iter_modules(module):
        for name, value in chosen.items():
            if value is not None and hasattr(layer, name):
                setattr(layer, name, value)


_drawing = threading.Lock()


def sample_key(rngs: nnx.Rngs | None, own: nnx.Rngs | None = None) -> jax.Array:
    """Return the next key of the stream sample, default or params of `rngs`, or else of `own`.

    Threads that share streams never receive the same key.
    """
    streams = rngs if rngs is not None else own
    if streams is None:
        raise ValueError("rngs=None: this model has no random streams of its own; pass rngs")
    if not isinstance(streams, nnx.Rngs):
        raise TypeError(
            f"rngs is of type {type(streams).__name__}: expected an nnx.Rngs, such as "
            "nnx.Rngs(0), or nnx.Rngs(key) of a random key"
        )
    for name in ("sample", "default", "params"):
        if name in streams:
            break
    else:
        raise ValueError("rngs has none of the streams 'sample', 'default', 'params'")
    try:
        with _drawing:  # reading the counter and advancing it must be one step
            return streams[name]()
    except TraceContextError:
        whose = "rngs=None: the model's own random stream" if rngs is None else "rngs: the stream"
        raise ValueError(
            f"{whose} cannot advance inside jax.jit, jax.vmap or jax.grad. Make rngs from a key "
            "that is an argument of the function, as in jax.jit(lambda x, key: "
            "model.reconstruct(x, rngs=nnx.Rngs(key))), or pass rng=key to loss_fn; nnx.jit with "
            "the model as an argument also works"
        ) from None


def row_keys(rngs: nnx.Rngs | None, own: nnx.Rngs | None, rows: int) -> jax.Array:
    """Return a key for each row, so that its draws do not depend on how rows are split."""
    return jax.random.split(sample_key(rngs, own), rows)
