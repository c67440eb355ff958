"""The compiled training loop: many steps in one program, data on the device, state donated.

Every random key comes from (seed, purpose, step), so that what a step does never depends on which
call ran it.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int

from workshop.generative_models.core.typing import LOSS_ALIASES

TRAIN, EVALUATE = 1, 2
"""The purposes that keys are drawn for."""

Data = dict[str, jax.Array]
"""Arrays by the names of a batch, "x" and perhaps "y", with all examples along the first axis."""


class TrainState(NamedTuple):
    """All that training changes, and all that a checkpoint holds."""

    step: jax.Array
    params: nnx.State
    opt_state: optax.OptState
    rest: nnx.State
    """What gradients do not train: usage of codes, random streams."""
    sums: dict[str, jax.Array]
    """Sums of the metrics since the last row, and under "count" the steps they hold."""


def purpose_key(seed: jax.Array, purpose: int, step: jax.Array) -> jax.Array:
    """Return the key of a purpose at a step."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), purpose), step)


def scalars(losses: dict[str, Any]) -> dict[str, jax.Array]:
    """Return the losses that are single numbers, each under one name, in float32."""
    named = {k: jnp.asarray(v, jnp.float32) for k, v in losses.items() if k not in LOSS_ALIASES}
    return {k: v for k, v in named.items() if v.ndim == 0 and k != "statistics"}


def init_state(
    model: nnx.Module, optimizer: optax.GradientTransformation, data: Data
) -> tuple[nnx.GraphDef, TrainState]:
    """Return a model's structure and a state of copies, which can be donated."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    params, rest = jax.tree.map(jnp.copy, (params, rest))
    batch = {name: array[:1] for name, array in data.items()}
    losses = jax.eval_shape(
        lambda: _losses(graphdef, params, rest, batch, jax.random.key(0), jnp.zeros((), jnp.int32))
    )
    names = jax.eval_shape(scalars, losses)
    sums = {name: jnp.zeros(()) for name in [*names, "count"]}
    return graphdef, TrainState(
        jnp.zeros((), jnp.int32), params, optimizer.init(params), rest, sums
    )


def _losses(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    rest: nnx.State,
    batch: Data,
    key: jax.Array,
    step: jax.Array | None,
) -> dict[str, jax.Array]:
    # The copy keeps the model's random streams apart from the trace around the gradient.
    model = nnx.merge(graphdef, params, rest, copy=True)
    return model.loss_fn(batch=batch, rng=key, step=step)


def train_step(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    batch: Data,
    seed: jax.Array,
) -> TrainState:
    """Take one step: gradient, update, statistics, metrics."""
    key = purpose_key(seed, TRAIN, state.step)

    def loss(params: nnx.State) -> tuple[jax.Array, dict[str, jax.Array]]:
        losses = _losses(graphdef, params, state.rest, batch, key, state.step)
        return losses["total_loss"], losses

    gradient, losses = jax.grad(loss, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params, rest = optax.apply_updates(state.params, updates), state.rest
    if "statistics" in losses:
        model = nnx.merge(graphdef, params, rest, copy=True)
        model.update_statistics(losses["statistics"])
        _, _, rest = nnx.split(model, nnx.Param, ...)
    metrics = scalars(losses) | {"count": jnp.ones(())}
    sums = {name: total + metrics[name] for name, total in state.sums.items()}
    return TrainState(state.step + 1, params, opt_state, rest, sums)  # type: ignore[arg-type]


@functools.partial(jax.jit, static_argnames=("graphdef", "optimizer"), donate_argnames=("state",))
def train_steps(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    data: Data,
    indices: Int[Array, "most batch"],
    count: Int[Array, ""],
    seed: Int[Array, ""],
) -> TrainState:
    """Take `count` steps, at most as many as there are rows of indices.

    The count is no static size: one compiled program serves every number of steps, and the host can
    choose how often it looks.
    """

    def body(i: jax.Array, state: TrainState) -> TrainState:
        batch = {name: array[indices[i]] for name, array in data.items()}
        return train_step(graphdef, optimizer, state, batch, seed)

    return jax.lax.fori_loop(0, count, body, state)


@functools.partial(jax.jit, static_argnames=("graphdef", "batch_size"))
def evaluate(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    rest: nnx.State,
    data: Data,
    seed: Int[Array, ""],
    *,
    batch_size: int,
) -> dict[str, jax.Array]:
    """Return the means over all examples of every metric, after all warm-ups, in one pass.

    A last batch that is not full counts by its examples.
    """
    examples = len(data["x"])
    full, rest_size = divmod(examples, batch_size)

    def metrics(index: jax.Array | int, size: int) -> dict[str, jax.Array]:
        start = index * batch_size
        batch = {k: jax.lax.dynamic_slice_in_dim(v, start, size) for k, v in data.items()}
        key = purpose_key(seed, EVALUATE, jnp.asarray(index))
        values = scalars(_losses(graphdef, params, rest, batch, key, None))
        return jax.tree.map(lambda value: value * (size / examples), values)

    parts = []
    if full:
        zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(lambda: metrics(0, batch_size)))
        parts.append(
            jax.lax.fori_loop(
                0, full, lambda i, sums: jax.tree.map(jnp.add, sums, metrics(i, batch_size)), zeros
            )
        )
    if rest_size:
        parts.append(metrics(full, rest_size))
    return jax.tree.map(lambda *values: sum(values), *parts)
