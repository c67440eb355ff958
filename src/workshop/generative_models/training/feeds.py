"""Where batches come from: data that stays on the device, or that streams in through Grain.

Both give the same batches in the same order, a function of (seed, step) alone, so a run goes on at
any step without a reader's position to save.
"""

import operator
import os
from collections.abc import Iterator
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from workshop.generative_models.training.layout import AXIS, Layout
from workshop.generative_models.training.order import EpochOrder
from workshop.generative_models.training.step import Data, Feed

MOST_STEPS = 1000
"""Steps that one call of the compiled loop may take."""
MOST_INDICES = 1 << 20
"""Indices that one call is given at the most: 4 MiB."""
CHUNK_BYTES = 1 << 25
"""About how much is read, moved and waited for at a time when data streams."""

Arrays = dict[str, Any]
"""Arrays, or what can be indexed like one by an array of integers: has shape and dtype."""


class Resident:
    """Data on the device as a whole, in its own dtype; batches are gathered there.

    Args:
        data: arrays with all examples along the first axis.
        order: which examples each step sees.
        layout: of several devices; each holds a copy of the data.
    """

    def __init__(self, data: Arrays, order: EpochOrder, layout: Layout | None):
        self.order = order
        self.data = to_device(data, layout)
        self.most = max(1, min(MOST_STEPS, MOST_INDICES // order.batch_size))

    def take(self, step: int, most: int) -> tuple[Feed, int]:
        """Return the feed of a call that begins at `step`, and how many steps it can serve."""
        count = min(most, self.most)
        # Always of one shape: another would be another program.
        indices = np.zeros((self.most, self.order.batch_size), np.int32)
        indices[:count] = self.order.batches(step, count)
        return Feed(self.data, jnp.asarray(indices), jnp.zeros((), jnp.int32)), count


class Streamed:
    """Data too large for the device: chunks of whole batches, read ahead by Grain's threads.

    Args:
        data: arrays, files or the like, read a few batches at a time by integer indices.
        order: which examples each step sees.
        layout: of several devices; each process reads only what its devices need.
        steps: the last step that will be asked for.
    """

    def __init__(self, data: Arrays, order: EpochOrder, layout: Layout | None, steps: int):
        self.order, self.layout, self.steps = order, layout, steps
        self.source = _Chunks(data, order, steps)
        self._iterator: Iterator[dict[str, np.ndarray]] | None = None
        self._chunk, self._at = {}, -1

    def take(self, step: int, most: int) -> tuple[Feed, int]:
        """Return the feed of a call that begins at `step`, and how many steps it can serve."""
        rows = self.source.rows
        wanted, first = divmod(step, rows)
        if self._iterator is None:
            self._iterator, self._at = self._read_from(wanted), wanted - 1
        while self._at < wanted:
            self._chunk, self._at = self._to_device(next(self._iterator)), self._at + 1
        count = min(most, rows - first)
        return Feed(self._chunk, None, jnp.asarray(first, jnp.int32)), count

    def _read_from(self, chunk: int) -> Iterator[dict[str, np.ndarray]]:
        # Grain takes a second to import: only runs that stream pay for it.
        import grain

        options = grain.ReadOptions(num_threads=os.cpu_count() or 1, prefetch_buffer_size=3)
        chunks = grain.MapDataset.source(self.source).slice(slice(chunk, None))
        return iter(chunks.to_iter_dataset(options))

    def _to_device(self, chunk: dict[str, np.ndarray]) -> Data:
        if self.layout is None:
            return {name: jnp.asarray(a) for name, a in chunk.items()}
        sharding = NamedSharding(self.layout.mesh, PartitionSpec(None, AXIS))
        return {
            name: jax.make_array_from_process_local_data(sharding, a) for name, a in chunk.items()
        }


class _Chunks:
    """All batches of a run in chunks of several, as a source that Grain can read."""

    def __init__(self, data: Arrays, order: EpochOrder, steps: int):
        self.data, self.order = data, order
        batch_bytes = order.batch_size * sum(_row_bytes(a) for a in data.values())
        # At least two: of a single row XLA makes a program that rounds otherwise.
        self.rows = max(2, min(MOST_STEPS, CHUNK_BYTES // batch_bytes))
        self.length = -(-steps // self.rows)
        share = order.batch_size // jax.process_count()
        self.mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        indices = self.order.batches(operator.index(index) * self.rows, self.rows)[:, self.mine]
        return {name: gather(a, indices) for name, a in self.data.items()}


def gather(array: Any, indices: np.ndarray) -> np.ndarray:
    """Return `array[indices]`, read in the order in which it lies on disk."""
    flat = indices.ravel()
    places = np.argsort(flat, kind="stable")
    rows = np.asarray(array[flat[places]])
    found = np.empty_like(rows)
    found[places] = rows
    return found.reshape(*indices.shape, *rows.shape[1:])


def parts(data: Arrays, batch_size: int) -> Iterator[tuple[int, Arrays]]:
    """Cut data into stretches of whole batches; yield each and the number of its first batch."""
    examples = len(data["x"])
    batch_bytes = batch_size * sum(_row_bytes(a) for a in data.values())
    batches = max(1, CHUNK_BYTES // batch_bytes)
    for start in range(0, examples, batches * batch_size):
        stretch = slice(start, min(start + batches * batch_size, examples))
        yield start // batch_size, {name: np.asarray(a[stretch]) for name, a in data.items()}


def to_device(data: Arrays, layout: Layout | None) -> Data:
    """Put whole arrays on the device, or a copy on each of several."""
    if layout is None:
        return {name: jnp.asarray(a) for name, a in data.items()}
    return {name: layout.put(a, layout.whole) for name, a in data.items()}


def fits(data: Arrays) -> bool:
    """Say whether data may stay on the device: it takes at most a quarter of the memory."""
    stats = jax.local_devices()[0].memory_stats() or {}
    memory = stats.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return sum(len(a) * _row_bytes(a) for a in data.values()) <= memory / 4


def _row_bytes(array: Any) -> int:
    return int(np.prod(array.shape[1:], dtype=np.int64)) * np.dtype(array.dtype).itemsize
