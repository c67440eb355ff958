"""The compiled evaluation: means of a model's metrics over a data set."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Int

from workshop.generative_models.core.metrics import metric_of
from workshop.generative_models.devices.layout import Layout
from workshop.generative_models.training.step import (
    EVALUATE,
    Data,
    losses_of,
    model_at,
    purpose_key,
    scalars,
)


@functools.partial(jax.jit, static_argnames=("graphdef", "batch_size", "layout"))
def metric_sums(
    graphdef: nnx.GraphDef,
    params: nnx.State,
    rest: nnx.State,
    data: Data,
    first: Int[Array, ""],
    seed: Int[Array, ""],
    num_examples: Int[Array, ""] | None,
    *,
    batch_size: int,
    layout: Layout | None = None,
) -> dict[str, jax.Array]:
    """Return the sums over all examples of every metric, after all warm-ups, in one pass.

    A last batch that is not full counts by its examples. `first` is the number of the first batch
    in the whole of the data, of which this may be a part; `num_examples` is the size of the
    training set. NaN, which an overflow in a network gives, counts as the worst value of its
    metric, and stays NaN if the metric has no direction.
    """
    full, rest_size = divmod(len(data["x"]), batch_size)

    def metrics(index: jax.Array | int, size: int) -> dict[str, jax.Array]:
        start = index * batch_size
        batch = {k: jax.lax.dynamic_slice_in_dim(v, start, size) for k, v in data.items()}
        if layout is not None:
            batch = layout.split(batch)
        key = purpose_key(seed, EVALUATE, first + index)
        model = model_at(graphdef, params, rest, key, training=False)
        values = scalars(losses_of(model, batch, key, None, num_examples))
        worst = {name: metric_of(name, model.metrics).worst for name in values}
        return {n: jnp.where(jnp.isnan(v), worst[n], v) * size for n, v in values.items()}

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
