"""Run a method of a model over a whole data set, a pass at a time."""

import functools
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core.pace import Pace
from workshop.generative_models.core.parameters import refuse_not_finite
from workshop.generative_models.data import Split

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


def reads_labels(model: Any) -> bool:
    """Say whether a model reads labels beside the data."""
    return bool(model.read_batch({"x": 0, "y": None}, None, {})[1])


def finite_features(x: jax.Array, features: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Return the features of q(z|x), and zeros where an encoder overflows on finite data.

    A value such as 1e38 may become infinite in a layer and then NaN. Any q gives a lower bound on
    log p(x); with zeros a Gaussian one is N(0, I).

    Args:
        x: (batch, *event), as the encoder read it.
        features: by name, (batch, ...) each.
    """
    rows = len(x)
    known = [jnp.isfinite(f).reshape(rows, -1).all(-1) for f in features.values()]
    lost = jnp.isfinite(x).reshape(rows, -1).all(-1) & ~jnp.all(jnp.stack(known), axis=0)
    return {
        name: jnp.where(lost.reshape(-1, *(1,) * (f.ndim - 1)), 0.0, f)
        for name, f in features.items()
    }


def features_of(model: Any, x: jax.Array, **condition: Any) -> dict[str, jax.Array]:
    """Return the encoder's features of a batch, finite if x is."""
    x, _ = model.as_batch(x)
    return finite_features(x, model.features(x, **condition))


def run_over(
    model: Any, method: Callable[..., Any], split: Split, *, progress: Progress = iter
) -> Any:
    """Return `method(model, x, **condition)`, a tree of arrays, over all examples in passes.

    The method is given a copy of the model in evaluation mode.

    Args:
        model: any module with `read_batch`.
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
        return _run(graphdef, state, method, jnp.asarray(part.x), condition_of(model, part))

    return in_passes(one_pass, len(split), progress=progress)


@functools.partial(jax.jit, static_argnames=("graphdef", "method"))
def _run(
    graphdef: nnx.GraphDef,
    state: Any,
    method: Callable[..., Any],
    x: jax.Array,
    condition: dict[str, Any],
) -> Any:
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

    The last pass is filled up with the last thing: another shape would be another program.

    Args:
        one_pass: indices to a tree of arrays with a row for each.
        count: how many things there are.
        size: how many of them are in a pass.
        progress: see `Progress`.

    Raises:
        CutShort: if not even the first pass was made.
    """
    return in_steps(
        lambda index: index,
        lambda index, _first, _last: one_pass(index),
        lambda made: made,
        count,
        1,
        size=size,
        progress=progress,
    )


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

    A call of `advance` takes as many steps as fit into a moment (`core.pace`), so that a signal is
    obeyed soon. What it returns must not depend on how steps are split over calls.

    Args:
        begin: indices to the state before the first step, a tree of arrays.
        advance: state, first step and the one after the last, to the state after them.
        finish: state after the last step to a tree of arrays with a row for each thing.
        count: how many things there are.
        steps: in each pass.
        size: how many things are in a pass.
        progress: see `Progress`; it is shown the steps of all passes.

    Raises:
        CutShort: if not even the first pass was made.
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
