"""Where batches come from: data that stays on the device, or that streams in through Grain.

Both give the same batches in the same order, a function of (seed, step) alone, so a run goes on at
any step without a reader's position to save.
"""

import os
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from workshop.generative_models.data.reading import (
    MOST_STEPS,
    Arrays,
    Chunks,
    EpochOrder,
    row_bytes,
)
from workshop.generative_models.data.rows import too_large
from workshop.generative_models.devices.layout import AXIS, Layout
from workshop.generative_models.training.step import Data, Feed

_MOST_INDICES = 1 << 20
"""Indices that one call is given at the most: 4 MiB."""


class Resident:
    """Data on the device, or each of several, as a whole; batches are gathered there."""

    def __init__(self, data: Arrays, order: EpochOrder, layout: Layout | None):
        self.order = order
        self.data = to_device({name: np.asarray(a) for name, a in data.items()}, layout)
        self.most = max(1, min(MOST_STEPS, _MOST_INDICES // order.batch_size))

    def take(self, step: int, most: int) -> tuple[Feed, int]:
        """Return the feed of a call that begins at `step`, and how many steps it can serve."""
        count = min(most, self.most)
        # Always of one shape: another would be another program.
        indices = np.zeros((self.most, self.order.batch_size), np.int32)
        indices[:count] = self.order.batches(step, count)
        return Feed(self.data, jnp.asarray(indices), jnp.zeros((), jnp.int32)), count


class Streamed:
    """Data too large for the device: chunks of whole batches, read ahead by Grain's threads.

    Each process reads only what its devices need, up to the last step `steps`.
    """

    def __init__(self, data: Arrays, order: EpochOrder, layout: Layout | None, steps: int):
        self.order, self.layout = order, layout
        share = order.batch_size // jax.process_count()
        mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
        self.source = Chunks(data, order, steps, mine)
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


def to_device(data: Arrays, layout: Layout | None) -> Data:
    """Put whole arrays on the device, or a copy on each of several."""
    if layout is None:
        return {name: jnp.asarray(a) for name, a in data.items()}
    return {name: layout.put(a, layout.whole) for name, a in data.items()}


def fits(data: Arrays) -> bool:
    """Say whether data may stay on the device: it takes at most a quarter of the memory."""
    total = sum(len(a) * row_bytes(a) for a in data.values())
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return not too_large(total) if limit is None else total <= limit / 4
