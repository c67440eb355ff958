"""Functions of modules of any class: call them, set their numerics, warn once about each."""

import inspect
import logging
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
