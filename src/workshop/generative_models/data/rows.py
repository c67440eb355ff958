"""Examples that stay where they are, on disk, and are read when they are asked for."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

Read = Callable[[Int[np.ndarray, " n"]], Shaped[np.ndarray, "n ..."]]
"""From numbers of examples to the examples."""


class Rows:
    """What looks like an array of examples, and reads those that it is indexed with."""

    def __init__(
        self, read: Read, indices: Int[np.ndarray, " n"], shape: tuple[int, ...], dtype: np.dtype
    ):
        self.read, self.indices = read, indices
        self.shape, self.dtype = (len(indices), *shape), np.dtype(dtype)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, where: Any) -> np.ndarray:
        found = self.indices[where]
        if np.ndim(found) and not len(found):
            return np.empty(self.shape[1:], self.dtype)[None][:0]
        return self.read(np.atleast_1d(found)) if np.ndim(found) else self.read(found[None])[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def take(self, where: Any) -> "Rows":
        """Return some of the examples, not yet read."""
        return Rows(self.read, self.indices[where], self.shape[1:], self.dtype)

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Rows":
        """Return the examples as they are after a change of each, made when they are read."""
        like = change(np.zeros((1, *self.shape[1:]), self.dtype))

        def read(indices: np.ndarray) -> np.ndarray:
            try:
                return change(self.read(indices))
            except ValueError as error:
                if len(indices) > 1:
                    for i in indices:
                        read(i[None])  # which says which one it is
                    raise
                raise ValueError(f"example {indices[0]}: {error}") from error

        return Rows(read, self.indices, like.shape[1:], like.dtype)


def select(x: Any, where: Any) -> Any:
    """Return some examples of an array, or of rows without reading them."""
    return x.take(where) if isinstance(x, Rows) else x[where]


def changed(x: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Return examples after a change, made now, or when they are read."""
    return x.map(change) if isinstance(x, Rows) else change(x)


def joined(xs: list[Any]) -> Any:
    """Return arrays of examples one after the other; rows on disk are not read."""
    if all(isinstance(x, np.ndarray) for x in xs):
        return np.concatenate(xs)
    starts = np.cumsum([0, *map(len, xs)])

    def read(indices: np.ndarray) -> np.ndarray:
        parts = np.searchsorted(starts, indices, side="right") - 1
        result = np.empty((len(indices), *xs[0].shape[1:]), xs[0].dtype)
        for part in np.unique(parts):
            mine = parts == part
            result[mine] = xs[part][indices[mine] - starts[part]]
        return result

    return Rows(read, np.arange(starts[-1]), xs[0].shape[1:], xs[0].dtype)


def host_memory() -> int:
    """Return the bytes of memory of this machine, or that a container or job may take."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    found = limit.read_text().strip() if limit.is_file() else "max"
    return min(physical, int(found)) if found.isdigit() else physical


def too_large(nbytes: int) -> bool:
    """Say whether examples stay on disk: they would take more than a quarter of the memory."""
    return nbytes > host_memory() / 4
