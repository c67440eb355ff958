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
    """Return how many rows, a power of two, a call handles at once.

    Args:
        row_shapes: shapes of one row of what the call reads and returns, in float32.
        most_bytes: bytes of the largest of them in a chunk.

    Examples:
        >>> chunk_size((28, 28, 1), (16,)), chunk_size((10,)), chunk_size((256, 256, 3))
        (256, 4096, 32)
    """
    rows = most_bytes // (4 * max(prod(shape) for shape in row_shapes))
    return min(max(1 << max(rows.bit_length() - 1, 0), LEAST), MOST)


def in_chunks(
    function: Callable[..., Any], *rows: Any, size: int, shared: Any, networks: tuple[Any, ...]
) -> Any:
    """Return `function(*rows, shared)`, computed on `size` rows at a time.

    One call is made of at most `size` rows, of traced values, and of networks in training mode,
    whose batch statistics must see the whole batch.

    Args:
        function: arrays of n rows and what they share -> a tree of arrays of n rows each.
        rows: arrays of n rows, or None.
        size: number of rows of a chunk; the last chunk is padded to it.
        shared: a tree; arrays of n rows in it are split as well.
        networks: the modules that the function calls.
    """
    n = len(rows[0])
    arrays = jax.tree.leaves((rows, shared))
    concrete = all(map(is_concrete, arrays)) and not inside_transformation()
    if n <= size or not concrete or any(map(in_training, networks)):
        return function(*rows, shared)

    def part_of(tree: Any, index: np.ndarray) -> Any:
        return jax.tree.map(lambda a: a[index] if np.shape(a)[:1] == (n,) else a, tree)

    parts = []
    for start in range(0, n, size):
        index = np.minimum(np.arange(start, start + size), n - 1)
        part = function(*part_of(rows, index), part_of(shared, index))
        # Without waiting, the buffers of all chunks would be allocated before the first is done.
        parts.append(jax.block_until_ready(part))
    parts[-1] = jax.tree.map(lambda a: a[: n - start], parts[-1])
    return jax.tree.map(lambda *a: jnp.concatenate(a), *parts)


def in_training(network: Any) -> bool:
    """Return whether a layer of a network, such as dropout or batch norm, is in training mode."""
    return any(
        getattr(module, name, None) is False
        for _, module in nnx.iter_modules(network)
        for name in ("deterministic", "use_running_average")
    )
