"""Run a method of a model over a whole data set, a pass at a time."""

import functools
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ..core.pace import Pace
from ..core.parameters import refuse_not_finite
from ..data import Split

PASS = 100
"""Examples in one pass through a network."""
Progress = Callable[[Sequence[int]], Iterable[int]]
"""What shows the way through a sequence, such as `rich.progress.track`. One that ends early cuts
the work short, and what was done until then is kept."""


class CutShort(ValueError):
    """Raised by an estimate that was cut short before anything of it was done."""


def condition_of(model: Any, split: Split) -> dict[str, Any]:
    """Return what a model reads beside the data: the labels, if it is conditional."""
    return model.read_batch({"x": split.x, "y": split.y}, None, {})[1]


def features_of(model: Any, x: jax.Array, **condition: Any) -> dict[str, jax.Array]:
    """Return the features of q(z|x) of a batch, and zeros where they overflow on finite data.

    A value such as 1e38 may become infinite in a layer and then NaN. Any q gives a lower bound on
    log p(x); with zeros a Gaussian one is N(0, I).
    """
    x, _ = model.as_batch(x)
    features = model.features(x, **condition)

    def finite(array: jax.Array) -> jax.Array:
        return jnp.isfinite(array).reshape(len(x), -1).all(-1)

    known = jnp.all(jnp.stack([finite(f) for f in features.values()]), axis=0)
    lost = finite(x) & ~known
    return {
        name: jnp.where(lost.reshape(-1, *(1,) * (f.ndim - 1)), 0.0, f)
        for name, f in features.items()
    }


def run_over(
    model: Any, method: Callable[..., Any], split: Split, *, progress: Progress = iter
) -> Any:
    """Return `method(model, x, **condition)`, a tree of arrays, over all examples in passes.

    Args:
        model: any module with `read_batch`; the method is given a copy in evaluation mode.
        method: a function of a module's own, not a closure: it is compiled once for each.
        split: the examples.
        progress: see `Progress`.

    Raises:
        ValueError: if a parameter of the model is not finite.
    """
    refuse_not_finite(model)
    graphdef, state = nnx.split(model)

    def one_pass(index: np.ndarray) -> Any:
        part = split.take(index)
        return run_batch(graphdef, state, method, jnp.asarray(part.x), condition_of(model, part))

    return in_passes(one_pass, len(split), progress=progress)


@functools.partial(jax.jit, static_argnames=("graphdef", "method"))
def run_batch(
    graphdef: nnx.GraphDef,
    state: Any,
    method: Callable[..., Any],
    x: jax.Array,
    condition: dict[str, Any],
) -> Any:
    """Return `method(model, x, **condition)`, compiled once for each architecture and shape."""
    return method(restored(graphdef, state), x, **condition)


def restored(graphdef: nnx.GraphDef, state: Any) -> Any:
    """Return a model put together inside a compiled function, in evaluation mode."""
    model = nnx.merge(graphdef, state, copy=True)
    model.eval()
    return model


def in_passes(
    one_pass: Callable[[np.ndarray], Any],
    count: int,
    *,
    size: int = PASS,
    progress: Progress = iter,
) -> Any:
    """Return what `one_pass(indices)` gives for `count` things, on the host, joined.

    Args:
        one_pass: indices to a tree of arrays with a row for each.
        count: how many things there are.
        size: how many of them are in a pass; the last one is filled up with the last thing.
        progress: see `Progress`.

    Raises:
        CutShort: if not even the first pass was made.
    """
    return in_steps(
        lambda index: index, lambda index, *_: one_pass(index), lambda made: made, count, 1,
        size=size, progress=progress,
    )  # fmt: skip


def in_steps(
    begin: Callable[[np.ndarray], Any],
    advance: Callable[[Any, int, int], Any],
    finish: Callable[[Any], Any],
    count: int,
    steps: int,
    *,
    size: int = PASS,
    progress: Progress = iter,
) -> Any:
    """Return what passes of many steps give for `count` things, on the host, joined.

    `begin` makes a state of indices, `advance` moves it from a first step to before a last one, as
    many as fit into a moment (`core.pace`), and `finish` makes of it a tree of arrays with a row
    for each thing. How steps are split over calls must change nothing.
    """
    size, pace = min(size, count), Pace()
    starts, parts, done = range(0, count, size), [], 0
    ticks = iter(progress(range(len(starts) * steps)))
    for start in starts:
        state = begin(np.minimum(np.arange(start, start + size), count - 1))
        for first, last in pace.calls(steps):
            if sum(1 for _ in islice(ticks, last - first)) < last - first:
                break
            state = jax.block_until_ready(advance(state, first, last))
        else:
            parts.append(jax.tree.map(np.asarray, finish(state)))
            done = min(start + size, count)
            continue
        break
    next(ticks, None)  # the last step is done: what shows the progress ends
    if not parts:
        raise CutShort("cut short before the first examples were done")
    return jax.tree.map(lambda *a: np.concatenate(a)[:done], *parts)
