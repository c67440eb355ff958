"""Large calls in chunks of rows, so that their memory is bounded.

A convolutional decoder needs a hundred times the memory of the images it makes. A call outside
compiled functions with more rows than `chunk_size` therefore runs on chunks of that many rows. All
random numbers are drawn beforehand, or from a key of each row, so that chunks change no result.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core.arrays import inside_transformation, is_concrete

CHUNK_BYTES = 1 << 20
"""Bytes of the examples or latents in a chunk: 256 images of 28 × 28 numbers."""
LEAST, MOST = 32, 4096
"""Rows in a chunk. With fewer, XLA chooses other kernels, which round differently."""


def chunk_size(*row_shapes: tuple[int, ...], most_bytes: int = CHUNK_BYTES) -> int:
    """Return how many float32 rows of these shapes, a power of two, a call handles at once.

    Examples:
        >>> chunk_size((28, 28, 1), (16,)), chunk_size((10,)), chunk_size((256, 256, 3))
        (256, 4096, 32)
    """
    rows = most_bytes // (4 * max(prod(shape) for shape in row_shapes))
    return min(max(1 << max(rows.bit_length() - 1, 0), LEAST), MOST)


def in_chunks(
    function: Callable[..., Any], *rows: Any, size: int, networks: tuple[Any, ...] = ()
) -> Any:
    """Return `function(*rows)`, computed on `size` rows at a time, the last chunk padded.

    One call is made of at most `size` rows, of traced values, and of networks in training mode,
    whose batch statistics must see the whole batch.

    Args:
        function: returns a tree of arrays of n rows each.
        rows: an array of n rows, and trees, of which arrays of n rows are split as well.
        size: number of rows of a chunk.
        networks: the modules that the function calls.
    """
    n = len(rows[0])
    concrete = all(map(is_concrete, jax.tree.leaves(rows))) and not inside_transformation()
    if n <= size or not concrete or any(map(in_training, networks)):
        return function(*rows)

    def part_of(index: np.ndarray) -> Any:
        return jax.tree.map(lambda a: a[index] if np.shape(a)[:1] == (n,) else a, rows)

    parts = []
    for start in range(0, n, size):
        index = np.minimum(np.arange(start, start + size), n - 1)
        # Without waiting, the buffers of all chunks would be allocated before the first is done.
        parts.append(jax.block_until_ready(function(*part_of(index))))
    parts[-1] = jax.tree.map(lambda a: a[: n - start], parts[-1])
    return jax.tree.map(lambda *a: jnp.concatenate(a), *parts)


def in_training(network: Any) -> bool:
    """Return whether a layer of a network, such as dropout or batch norm, is in training mode."""
    return any(
        getattr(module, name, None) is False
        for _, module in nnx.iter_modules(network)
        for name in ("deterministic", "use_running_average")
    )
