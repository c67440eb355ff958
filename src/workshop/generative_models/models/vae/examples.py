"""Which data fits a model: the shape of one example, the range of its values, levels, scale."""

import logging
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from workshop.generative_models.core.arrays import check_finite, is_concrete, read_data
from workshop.generative_models.core.likelihoods import Likelihood
from workshop.generative_models.core.modules import warn_once
from workshop.generative_models.core.moments import Moments
from workshop.generative_models.core.numbers import refuse_ambiguous_bytes

_UNIT_TOLERANCE = 1e-6
"""How far data may lie outside [0, 1] and still be clipped, for likelihoods of data in [0, 1].

Eight times the rounding error of float32 at 1: scaling to a range leaves a few such errors, while
data that was never scaled, or was resized with overshoot, lies further out."""
_REACH = 1e-3
"""How far data may lie beyond the range of a decoder's activation without a warning."""
_LEVEL_TOLERANCE = 0.01
"""How far data may lie from a level, in steps; float32 rounds 65,536 levels by less."""
_LARGE, _SMALL = 10.0, 0.01
"""Where a feature is far from unit scale: a root mean square above the one, or, of a column in flat
data, a spread below the other."""
_NAMED = 5
"""How many columns a warning names."""


def read_examples(likelihood: Likelihood, name: str, x: Any) -> Any:
    """Return examples as uint8 or float32, clipped to [0, 1] if they only miss it by rounding."""
    x = read_data(name, x)
    if is_concrete(x):
        refuse_ambiguous_bytes(name, x)
    if likelihood.support != "unit" or not isinstance(x, np.ndarray) or not x.size:
        return x
    low, high = x.min(), x.max()
    beyond = x.dtype != np.uint8 and (low < 0 or high > 1)
    if beyond and low >= -_UNIT_TOLERANCE and high <= 1 + _UNIT_TOLERANCE:
        return np.clip(x, 0, 1)
    return x


def as_batch(name: str, x: Any, event: tuple[int, ...] | None) -> tuple[jax.Array, bool]:
    """Return read examples as a float batch, and whether x was a single example, by its shape."""
    _refuse_empty(name, x)
    x = jnp.asarray(x)
    if x.dtype == jnp.uint8:
        x = x.astype(jnp.float32) / 255
    if event is None or x.shape[1:] == event:
        return x, False
    if x.shape == event:
        return x[None], True
    raise ValueError(_other_shape(name, x.shape, event))


def check_data(model: Any, x: Any) -> None:
    """Raise a ValueError if a model cannot be trained on concrete data: shape, NaN or range."""
    if not is_concrete(x):
        return
    values = np.asarray(read_data("x", x))
    _refuse_empty("x", values)
    event, likelihood = model.event_shape, model.likelihood
    if event not in (None, values.shape[1:]):
        raise ValueError(_other_shape("x", values.shape, event))
    if values.dtype == np.uint8:
        if likelihood.levels not in (None, 256):
            _refuse_between_levels(np.unique(values) / np.float32(255), likelihood.levels)
        return
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        check_finite("x", values)
    if likelihood.support == "unit" and (low < -_UNIT_TOLERANCE or high > 1 + _UNIT_TOLERANCE):
        raise ValueError(
            f"x lies in [{low:g}, {high:g}]: this likelihood describes data in [0, 1]; "
            "scale the data, or use likelihood='gaussian'"
        )
    _warn_of_reach(model, low, high)
    if likelihood.levels is not None:
        _refuse_between_levels(values, likelihood.levels)


def _warn_of_reach(model: Any, low: float, high: float) -> None:
    """Warn of data outside the range of the decoder's output activation."""
    for name, link, least in (("sigmoid", jax.nn.sigmoid, 0), ("tanh", jnp.tanh, -1)):
        beyond = low < least - _REACH or high > 1 + _REACH
        if getattr(model.likelihood, "link", None) is link and beyond:
            warn_once(
                model,
                "x lies in [%.3g, %.3g], where a decoder with output_activation=%r cannot "
                "reach: build it with 'identity', or scale the data",
                low,
                high,
                name,
            )


def _other_shape(name: str, shape: tuple[int, ...], event: tuple[int, ...]) -> str:
    """Return an error text for data of another shape than the model's, with the fix."""
    hint = ""
    if len(event) == 3 and shape[1:] == (event[-1], *event[:-1]):
        hint = f"; its channels come first: give numpy.moveaxis({name}, 1, -1)"
    elif event and (*shape[1:], 1) == event:
        hint = f"; give {name}[..., None]"
    elif 1 in (len(event), len(shape) - 1) and prod(shape[1:]) == prod(event):
        hint = f"; give {name}.reshape(len({name}), {', '.join(map(str, event))})"
    return (
        f"{name} has shape {shape}: expected (batch, {', '.join(map(str, event))}), or one "
        f"example {event}{hint}"
    )


def _refuse_empty(name: str, x: Any) -> None:
    """Raise a ValueError for a batch of no examples."""
    if np.shape(x)[:1] == (0,):
        raise ValueError(f"{name} holds no examples: expected a batch of at least one")


def _from_level(values: np.ndarray, levels: int) -> np.ndarray:
    """Return how far values are from the nearest k / (levels - 1), in steps."""
    steps = values.astype(np.float32) * np.float32(levels - 1)
    return np.abs(steps - np.rint(steps))


def _refuse_between_levels(values: np.ndarray, levels: int) -> None:
    distance = _from_level(values, levels)
    if distance.max() <= _LEVEL_TOLERANCE:
        return
    odd = float(values.ravel()[distance.argmax()])
    several = np.unique(values)
    fits = (n for n in range(2, 257) if _from_level(several, n).max() <= _LEVEL_TOLERANCE)
    fit = next(fits, None)
    way_out = (
        "round the data to levels, or use likelihood='gaussian'"
        if fit is None
        else f"levels={fit} fits this data"
    )
    raise ValueError(
        f"x holds {odd:.6g}, which is none of the values k / {levels - 1} that levels={levels} "
        f"stands for: {way_out}"
    )


def warn_of_scale(moments: Moments) -> None:
    """Name in the log the features of the training data that are far from unit scale."""
    found = far_from_unit(moments)
    if found is not None:
        logging.getLogger("workshop").warning(
            "%s; training will be slow or fail: build the model with standardize=True (and "
            "likelihood='gaussian' or 'laplace'), or standardise the data, for example by "
            "scikit-learn's StandardScaler",
            found,
        )


def far_from_unit(moments: Moments) -> str | None:
    """Name the features that networks and a scale of unit size do not suit; None if there are none.

    Examples:
        >>> from workshop.generative_models.core.moments import moments_of
        >>> far_from_unit(moments_of([np.array([[0.0, 1e4], [1.0, 3e4]])]))
        '1 of 2 features of the training data are far from unit scale: 1 (2e+04 ± 1e+04)'
    """
    mean, spread = moments.mean, moments.spread
    off = np.hypot(mean, spread) > _LARGE
    if mean.ndim == 1:
        off |= (spread > 0) & (spread < _SMALL)
    elif 0 < spread.max() < _SMALL:  # single pixels may be nearly constant
        off |= spread > 0
    if not off.any():
        return None
    found = np.argwhere(off)
    named = []
    for index in map(tuple, found[:_NAMED].tolist()):
        name = index[0] if len(index) == 1 else index
        if moments.names is not None and len(index) == 1:
            name = repr(moments.names[index[0]])
        named.append(f"{name} ({mean[index]:.3g} ± {spread[index]:.3g})")
    return (
        f"{off.sum()} of {off.size} features of the training data are far from unit scale: "
        f"{', '.join(named)}{', ...' if len(found) > _NAMED else ''}"
    )
