"""Which examples each training step sees: a fresh permutation of all of them for every epoch."""

import functools

import numpy as np


class EpochOrder:
    """The stream of example indices, a function of (seed, position) alone.

    Epoch e is a permutation by the key (seed, e). Batches are cut from the epochs laid end to end,
    so every example comes once an epoch, no batch is short, and none is dropped.
    """

    def __init__(self, examples: int, batch_size: int, seed: int):
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self._permutation = functools.lru_cache(maxsize=4)(self._draw)

    def _draw(self, epoch: int) -> np.ndarray:
        generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        return generator.permutation(self.examples).astype(np.int32)

    def batches(self, first_step: int, steps: int) -> np.ndarray:
        """Return the indices of steps first_step, first_step + 1, ...: (steps, batch_size)."""
        start, size = first_step * self.batch_size, steps * self.batch_size
        first, last = start // self.examples, (start + size - 1) // self.examples
        stream = np.concatenate([self._permutation(e) for e in range(first, last + 1)])
        offset = start - first * self.examples
        return stream[offset : offset + size].reshape(steps, self.batch_size)
