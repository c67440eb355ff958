"""A function of arrays alone: what it takes and gives, for any number of examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

FORMATS = ("stablehlo", "onnx", "safetensors")
BATCH = "batch"
"""The free size in a shape."""
Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Tensor:
    """An input: its name, shape, type, what it is, and how one is drawn for a check."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    about: str
    draw: Draw

    def of(self, batch: Any) -> jax.ShapeDtypeStruct:
        """Return the shape and type for a batch of this size, a number or a symbol."""
        sizes = [batch if size == BATCH else size for size in self.shape]
        return jax.ShapeDtypeStruct(sizes, jnp.dtype(self.dtype))


@dataclass(frozen=True)
class Function:
    """A function of a model: arrays in, a tuple of arrays out, each a row for each example."""

    name: str
    about: str
    run: Callable[..., tuple[jax.Array, ...]]
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    left_out_of: tuple[str, ...] = ()
    why: str = ""

    def of_each(self, *arrays: jax.Array) -> tuple[jax.Array, ...]:
        """Return `run` of each example by itself: a program whose batch may have any size.

        Models read the size of a batch as a number, which a symbol is not; here it is always 1.
        """
        batched = [BATCH in tensor.shape for tensor in self.inputs]

        def one(*values: jax.Array) -> tuple[jax.Array, ...]:
            rows = [v[None] if many else v for v, many in zip(values, batched, strict=True)]
            return tuple(row[0] for row in self.run(*rows))

        return jax.vmap(one, in_axes=[0 if many else None for many in batched])(*arrays)

    def draw(self, batch: int) -> list[np.ndarray]:
        """Return inputs to compare programs by."""
        rng = np.random.default_rng(0)
        return [t.draw(rng, batch).astype(t.dtype, copy=False) for t in self.inputs]

    def outputs_of(self, batch: Any) -> Sequence[jax.ShapeDtypeStruct]:
        """Return shapes and types of the outputs for a batch of this size."""
        return jax.eval_shape(self.of_each, *(t.of(batch) for t in self.inputs))
