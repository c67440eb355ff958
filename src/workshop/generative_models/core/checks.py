"""Errors about arguments, worded once: what was given, what was expected, the way out."""

import importlib
import inspect
import warnings
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from operator import index
from types import ModuleType
from typing import Any

import numpy as np


def positive_int(name: str, value: Any) -> int:
    """Return `value` as an int, or say that `name` must be a positive integer."""
    try:
        number = index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: expected a positive integer")
    return number


def shape(name: str, value: Any) -> tuple[int, ...]:
    """Return `value` as a shape: a tuple of positive integers; a bare int counts as one axis."""
    value = value.tolist() if hasattr(value, "tolist") else value  # of numpy
    sizes = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if not sizes:
        raise ValueError(f"{name}={value!r}: expected at least one size, such as (784,)")
    return tuple(positive_int(name, size) for size in sizes)


def image_shape(name: str, value: Any) -> tuple[int, int, int]:
    """Return `value` as the shape (height, width, channels) of an image."""
    sizes = shape(name, value)
    if len(sizes) != 3:
        raise ValueError(
            f"{name}={sizes}: a convolutional network expects (height, width, channels); "
            "use encoder_type='dense' for flat data"
        )
    return sizes


def one_of(name: str, value: Any, options: Collection[str]) -> str:
    """Return `value` if it is among `options`, else list them and name the nearest."""
    if isinstance(value, str) and value in options:
        return value
    raise ValueError(
        f"{name}={value!r}: expected one of {', '.join(sorted(options))}{nearest(value, options)}"
    )


def nearest(value: Any, options: Collection[str]) -> str:
    """Return "; did you mean ...?" with the option most like a value, or nothing."""
    near = get_close_matches(str(value), options, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def refuse_keywords(
    method: Callable[..., Any], given: Collection[str], others: Collection[str] = ()
) -> None:
    """Raise a TypeError for keywords that neither a method's signature nor `others` has."""
    known = _keywords(method) | set(others)
    for name in given:
        if name not in known:
            raise TypeError(
                f"{method.__qualname__} got an unexpected keyword argument {name!r}: expected "
                f"{', '.join(sorted(known))}{nearest(name, known)}"
            )


def warn_keywords(method: Callable[..., Any], given: Collection[str]) -> None:
    """Warn of keyword arguments that a method accepts for compatibility and does not read."""
    known = _keywords(method)
    for name in given:
        warnings.warn(
            f"{method.__qualname__} does not use the keyword argument {name!r}"
            f"{nearest(name, known)}",
            stacklevel=3,
        )


def _keywords(method: Callable[..., Any]) -> set[str]:
    parameters = inspect.signature(method).parameters.values()
    return {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool, or say that `name` must be one: any string would count as True."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}={value!r}: expected True or False")
    return bool(value)


def at_least(name: str, value: Any, lowest: float) -> Any:
    """Return `value`, or say that `name` must be a finite number of at least `lowest`."""
    try:
        fits = bool(lowest <= value < float("inf"))
    except (TypeError, ValueError):  # the latter of arrays of several numbers
        fits = False
    if not fits:
        raise ValueError(f"{name}={value!r}: expected a finite number >= {lowest:g}")
    return value


def positive(name: str, value: Any) -> Any:
    """Return `value`, or say that `name` must be a finite number above 0."""
    try:
        fits = bool(0 < value < float("inf"))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f"{name}={value!r}: expected > 0, a finite number")
    return value


def no_condition(num_classes: int | None, embed_dim: int | None) -> None:
    """Refuse conditioning arguments where nothing is conditioned on."""
    if num_classes is not None or embed_dim is not None:
        raise ValueError(
            f"num_classes={num_classes}, embed_dim={embed_dim} without conditional=True: set "
            "conditional=True, or leave them out"
        )


def batch_keys(name: str, batch: dict[Any, Any], known: tuple[str, ...]) -> None:
    """Raise a ValueError for a dict that lacks "x" or has keys that nothing reads."""
    if "x" not in batch or any(key not in known for key in batch):
        *others, last = [repr(key) for key in known if key != "x"] or [""]
        rest = f", and perhaps {', '.join(others)}{' or ' if others else ''}{last}" if last else ""
        raise ValueError(
            f"{name} has the keys {sorted(map(str, batch))}: expected 'x'{rest}; no other key is "
            "read"
        )


def optional(module: str, extra: str, call: str) -> ModuleType:
    """Import a module, or name the extra of this package that `call` needs for it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{call} needs {module.partition('.')[0]}, which is not installed: "
            f"pip install 'workshop-vae[{extra}]'"
        ) from error
