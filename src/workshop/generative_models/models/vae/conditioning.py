"""Class labels as something that a network can read: one-hot or embedded, concatenated or added."""

from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import is_concrete, read_labels
from workshop.generative_models.core.modules import set_numerics
from workshop.generative_models.core.numbers import variable

_CONDITION_TYPES = ("concat", "add")


def one_hot(condition: Any, num_classes: int, batch: int, name: str = "condition") -> jax.Array:
    """Return labels as (batch, num_classes) one-hot rows.

    They are integers (batch,), or one for all; or rows (batch, num_classes) that are one-hot
    already or mixtures of classes, or (1, num_classes) for all, or (num_classes,) where the batch
    is one example. None is all zeros: no class is said.
    """
    if condition is None:
        return jnp.zeros((batch, num_classes), jnp.float32)
    labels = jnp.asarray(read_labels(name, condition))
    if (
        jnp.issubdtype(labels.dtype, jnp.integer)
        and labels.ndim < 2
        and labels.shape in ((), (1,), (batch,))
    ):
        if is_concrete(labels):
            values = np.asarray(labels)
            if values.size and not (values.min() >= 0 and values.max() < num_classes):
                raise ValueError(
                    f"{name} holds labels from {values.min()} to {values.max()}: expected "
                    f"0 <= label < {num_classes}"
                )
        return jnp.broadcast_to(jax.nn.one_hot(labels, num_classes), (batch, num_classes))
    one_row = ((num_classes,),) if batch == 1 else ()
    if labels.shape in ((batch, num_classes), (1, num_classes), *one_row):
        if is_concrete(labels):
            rows = np.asarray(labels, np.float32)
            if not (np.isfinite(rows).all() and (rows >= 0).all()):
                raise ValueError(f"{name} holds rows with negative or non-finite values")
        return jnp.broadcast_to(labels.astype(jnp.float32), (batch, num_classes))
    raise ValueError(
        f"{name} has shape {labels.shape} and type {labels.dtype}: expected integer labels "
        f"({batch},) or one for all, or one-hot rows ({batch}, {num_classes}) or (1, {num_classes})"
        f"{_way_out(name, labels)}"
    )


def _way_out(name: str, labels: jax.Array) -> str:
    if labels.ndim == 1 and jnp.issubdtype(labels.dtype, jnp.floating):
        return f"; if they are whole numbers, {variable(name)}.astype(int)"
    return f"; of a column, {variable(name)}[:, 0]" if labels.shape[1:] == (1,) else ""


class Condition(nnx.Module):
    """Joins a class, one-hot or embedded, to what a network reads, in its dtype and precision.

    "concat" appends it as features (channels of an image); "add" maps it linearly to the shape of
    the input, `event_shape`, and adds it.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dim: int | None,
        condition_type: str,
        event_shape: tuple[int, ...] | None,
        *,
        rngs: nnx.Rngs,
        network: nnx.Module,
    ):
        self.num_classes = checks.positive_int("num_classes", num_classes)
        self.embed_dim = embed_dim
        self.condition_type = checks.one_of("condition_type", condition_type, _CONDITION_TYPES)
        size = num_classes
        if embed_dim is not None:
            size = checks.positive_int("embed_dim", embed_dim)
            self.embedding = nnx.Linear(num_classes, size, use_bias=False, rngs=rngs)
        self.extra_features = size if condition_type == "concat" else 0
        if condition_type == "add":
            if event_shape is None:
                raise ValueError(
                    "condition_type='add' needs to know the input's shape: give the network its "
                    "input_dim"
                )
            self.projection = nnx.Linear(size, prod(event_shape), use_bias=False, rngs=rngs)
        numerics = {name: getattr(network, name, None) for name in ("dtype", "precision")}
        set_numerics(self, **numerics)

    def __call__(self, x: jax.Array, condition: Any) -> jax.Array:
        """Return x (batch, ...) with the condition joined to its last axis, or added."""
        code = one_hot(condition, self.num_classes, x.shape[0])
        if self.embed_dim is not None:
            code = self.embedding(code)
        if self.condition_type == "add":
            return x + self.projection(code).reshape(x.shape).astype(x.dtype)
        spread = code.reshape(code.shape[0], *(1,) * (x.ndim - 2), code.shape[-1])
        spread = jnp.broadcast_to(spread, (*x.shape[:-1], code.shape[-1]))
        return jnp.concatenate([x, spread.astype(x.dtype)], axis=-1)
