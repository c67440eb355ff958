"""Reading examples by rows, from whatever can be indexed like an array."""

import operator
import zlib
from collections.abc import Iterator
from typing import Any, SupportsIndex

import jax
import numpy as np

from workshop.generative_models.data.dataset import Dataset, Split
from workshop.generative_models.data.order import EpochOrder

MOST_STEPS = 1000
"""Steps that one call of the compiled loop may take."""
CHUNK_BYTES = 1 << 25
"""About how much is read, moved and waited for at a time when data streams."""

Arrays = dict[str, Any]
"""Arrays, or what can be indexed like one by an array of integers: has shape and dtype."""


class Chunks:
    """All batches of a run in chunks of several, as a source that Grain can read.

    Args:
        data: what to read.
        order: which examples each step sees.
        steps: the last step.
        mine: the part of each batch to read, where several processes share it.
    """

    def __init__(self, data: Arrays, order: EpochOrder, steps: int, mine: slice):
        self.data, self.order = data, order
        batch_bytes = order.batch_size * sum(row_bytes(a) for a in data.values())
        # At least two: of a single row XLA makes a program that rounds otherwise.
        self.rows = max(2, min(MOST_STEPS, CHUNK_BYTES // batch_bytes))
        self.length = -(-steps // self.rows)
        self.mine = mine

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: SupportsIndex) -> dict[str, np.ndarray]:
        indices = self.order.batches(operator.index(index) * self.rows, self.rows)[:, self.mine]
        return {name: gather(a, indices) for name, a in self.data.items()}


def as_arrays(name: str, data: Any) -> Arrays:
    """Return examples by the names of a batch, and refuse what cannot be trained on.

    Args:
        name: what an error calls the data.
        data: an array of examples, a dict {"x": ..., "y": ...}, or a `Split`. What has a shape, a
            dtype and rows stays as it is, not yet read.

    Raises:
        ValueError: if there are no examples, or other things than numbers, or arrays of several
            lengths.

    Examples:
        >>> as_arrays("train", [[1.0, 2.0], [3.0, 4.0]])["x"].shape
        (2, 2)
    """
    if isinstance(data, Dataset):
        raise ValueError(f"{name} is a whole Dataset: pass one part, such as {name}.test")
    if isinstance(data, Split):
        data = {"x": data.x, "y": data.y}
    if not isinstance(data, dict):
        data = {"x": data}
    arrays = {key: _rows(value) for key, value in data.items() if value is not None}
    if "x" not in arrays or 0 in (arrays["x"].shape or (0,)):
        raise ValueError(f"{name} holds no examples: expected an array, or a dict with key 'x'")
    lengths = {key: a.shape[0] if a.shape else 0 for key, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name} has arrays of lengths {lengths}: expected one")
    for key, array in arrays.items():
        if not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_:
            raise ValueError(
                f"{name}[{key!r}] is of type {array.dtype}: expected numbers; labels are "
                "integers from 0 (from_arrays turns names into them)"
            )
    return arrays


def _rows(data: Any) -> Any:
    """Return data that can be read by rows as it is, and anything else as an array."""
    if isinstance(data, jax.Array) or not all(
        hasattr(data, name) for name in ("shape", "dtype", "__getitem__")
    ):
        return np.asarray(data)
    return data


def column_names(data: Any) -> tuple[str, ...] | None:
    """Return the names of the columns of a data frame, alone or as a batch's "x"; or None."""
    x = data.get("x") if isinstance(data, dict) else data
    columns = getattr(x, "columns", None)
    return None if columns is None else tuple(str(name) for name in columns)


def sampled_rows(array: Any, most: int = 4096) -> Iterator[np.ndarray]:
    """Yield rows from all over an array that is too large to be read as a whole, in chunks."""
    most = min(most, max(1, CHUNK_BYTES // row_bytes(array)), len(array))
    yield gather(array, np.linspace(0, len(array) - 1, most).astype(np.int64))


def gather(array: Any, indices: np.ndarray) -> np.ndarray:
    """Return `array[indices]`, read in the order in which it lies on disk."""
    rows, places = np.unique(indices, return_inverse=True)
    return np.asarray(array[rows])[places.reshape(indices.shape)]


def parts(data: Arrays, batch_size: int) -> Iterator[tuple[int, Arrays]]:
    """Cut data into stretches of whole batches; yield each and the number of its first batch."""
    examples = len(data["x"])
    batch_bytes = batch_size * sum(row_bytes(a) for a in data.values())
    batches = max(1, CHUNK_BYTES // batch_bytes)
    for start in range(0, examples, batches * batch_size):
        stretch = slice(start, min(start + batches * batch_size, examples))
        yield start // batch_size, {name: np.asarray(a[stretch]) for name, a in data.items()}


def fingerprint(data: Arrays) -> str:
    """Return what tells data from other data: shapes, types, and a sum over a few examples."""
    examples = len(data["x"])
    rows = np.linspace(0, examples - 1, min(examples, 32)).astype(np.int32)
    total = 0
    for name in sorted(data):
        array = data[name]
        total = zlib.crc32(f"{name} {tuple(array.shape)} {array.dtype}".encode(), total)
        total = zlib.crc32(np.ascontiguousarray(gather(array, rows)).tobytes(), total)
    return f"{total:08x}"


def row_bytes(array: Any) -> int:
    """Return the bytes of one example."""
    return int(np.prod(array.shape[1:], dtype=np.int64)) * np.dtype(array.dtype).itemsize
