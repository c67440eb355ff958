"""Reading examples by rows: what people pass as batches need it, whole or a part at a time."""

import functools
import operator
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import jax.numpy as jnp
import numpy as np

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import check_finite, read_data, read_labels
from workshop.generative_models.core.containers import is_lazy, to_array, unmasked
from workshop.generative_models.data.dataset import Dataset, Split
from workshop.generative_models.data.rows import Rows, too_large

MOST_STEPS = 1000
"""Steps that one call of the compiled loop may take."""
CHUNK_BYTES = 1 << 25
"""About how much is read, moved and waited for at a time when data streams."""

Arrays = dict[str, Any]
"""NumPy or JAX arrays by the keys of a batch, or `Rows` where they are read as they are needed."""


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


class Chunks:
    """All batches of a run in chunks of several, as a source that Grain can read.

    Of each batch only the part `mine` is read, where several processes share it.
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


def as_arrays(
    name: str,
    data: Any,
    *,
    keys: tuple[str, ...] = ("x", "y"),
    read: Callable[[str, Any], Any] = read_data,
) -> Arrays:
    """Return examples by the keys of a batch, and refuse what cannot be trained on.

    Examples come alone, as (x, y), as a dict or as a `Split`; lazy ones are converted when read.
    """
    given = _by_key(name, data)
    checks.batch_keys(name, given, keys)
    arrays = {}
    for key, value in given.items():
        if value is not None or key == "x":
            what = name if value is data else f"{name}[{key!r}]"
            arrays[key] = examples(what, value, read) if key == "x" else _labels(what, value)
    shape = arrays["x"].shape
    if 0 in (shape or (0,)):
        raise ValueError(
            f"{name} holds no examples: it has shape {shape}, expected (n, ...) without a 0"
        )
    if len(shape) == 1:
        raise ValueError(
            f"{name} has shape {shape}: expected one row for each example, (n, ...); a single "
            "feature is x[:, None], and labels go beside their examples, {'x': x, 'y': y}"
        )
    lengths = {key: a.shape[0] if a.shape else 0 for key, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name} has arrays of lengths {lengths}: expected one")
    return arrays


def _by_key(name: str, data: Any) -> dict[Any, Any]:
    """Return what somebody passed by the keys of a batch, not yet converted."""
    if isinstance(data, Dataset):
        raise ValueError(f"{name} is a whole Dataset: pass one part, such as {name}.test")
    if isinstance(data, Split):
        return {"x": data.x, "y": data.y}
    if isinstance(data, dict):
        return data
    if is_map_style(data):
        return _items(name, data)
    if not isinstance(data, tuple):
        return {"x": data}
    if len(data) != 2:
        raise ValueError(
            f"{name} is a tuple of {len(data)}: expected an array, (x, y) or {{'x': x, 'y': y}}"
        )
    return {"x": data[0], "y": data[1]}


def is_map_style(data: Any) -> bool:
    """Say whether data gives one example at a time by its number, as datasets of PyTorch do."""
    if isinstance(data, Sequence | Mapping) or not hasattr(data, "__len__"):
        return False
    arrays = ("shape", "__array__", "__array_interface__", "columns", "to_numpy", "with_format")
    return hasattr(data, "__getitem__") and not any(hasattr(data, name) for name in arrays)


def _items(name: str, data: Any) -> dict[str, Any]:
    """Return all items of a map-style dataset, each read once: x, (x, y) or {"x": x, "y": y}."""
    try:
        count = len(data)
    except Exception as error:  # whatever the dataset raises
        raise ValueError(f"{name} has no length ({type(error).__name__}: {error})") from error
    if not count:
        raise ValueError(f"{name} holds no examples: it is an empty {type(data).__name__}")
    columns: dict[str, list[np.ndarray]] = {}
    for i in range(count):
        try:
            item = data[i]
        except Exception as error:  # whatever the dataset raises
            raise ValueError(
                f"{name}[{i}] cannot be read ({type(error).__name__}: {error})"
            ) from error
        for key, value in _by_key(f"{name}[{i}]", item).items():
            columns.setdefault(key, []).append(to_array(f"{name}[{i}], {key}", value))
        read = sum(array.nbytes for array in columns.get("x", ()))
        if i == 9 and too_large(read * count // 10):
            raise ValueError(
                f"{name} is a {type(data).__name__} too large for the memory: write its examples "
                "to a .npy file, numpy.lib.format.open_memmap, and pass that"
            )
    lengths = {key: len(values) for key, values in columns.items()}
    shapes = {key: {a.shape for a in values} for key, values in columns.items()}
    if len(set(lengths.values())) > 1 or any(len(found) > 1 for found in shapes.values()):
        raise ValueError(f"{name} has items of different shapes or keys: {shapes}, {lengths}")
    return {key: np.stack(values) for key, values in columns.items()}


def examples(name: str, x: Any, read: Callable[[str, Any], Any] = read_data) -> Any:
    """Return examples after `read` converted them, now, or if they are lazy, when they are read."""
    if not is_lazy(x) or not x.shape:
        return read(name, x)
    convert = functools.partial(read, name)
    probe = np.zeros((1, *x.shape[1:]), x.dtype)
    unchanged = convert(probe) is probe
    if unchanged and isinstance(x, Rows | np.memmap):
        return x
    rows = x
    if not isinstance(x, Rows):
        rows = Rows(lambda i: unmasked(name, x[i]), np.arange(x.shape[0]), x.shape[1:], x.dtype)
    return rows if unchanged else rows.map(convert)


def _labels(name: str, y: Any) -> Any:
    labels = read_labels(name, y)
    if jnp.issubdtype(labels.dtype, jnp.floating):
        check_finite(name, labels)
    return labels


def column_names(data: Any) -> tuple[str, ...] | None:
    """Return the names of the columns of a data frame, alone or as a batch's "x"; or None."""
    x = data.get("x") if isinstance(data, dict) else data[0] if isinstance(data, tuple) else data
    columns = getattr(x, "column_names", getattr(x, "columns", None))  # pyarrow; pandas, polars
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
