"""Read what people pass as data, by position, into a NumPy array.

Containers are recognised by their protocol, so that no data frame or tensor library is imported.
"""

import os
from typing import Any

import numpy as np

from workshop.generative_models.core.numbers import refuse_inexact, variable


def is_lazy(x: Any) -> bool:
    """Say whether `x` is read when indexed, as `numpy.memmap`, HDF5 and Zarr arrays are."""
    if isinstance(x, np.memmap):
        return True
    if isinstance(x, np.ndarray | np.generic) or not hasattr(x, "__getitem__"):
        return False
    # jax.Array, data frames, tensors and sparse matrices, in this order.
    in_memory = ("sharding", "to_numpy", "detach", "nnz")
    if any(hasattr(x, name) for name in in_memory) or not hasattr(x, "shape"):
        return False
    try:
        np.dtype(x.dtype)
    except (AttributeError, TypeError):
        return False
    return True


def to_array(name: str, x: Any) -> np.ndarray:
    """Return arrays, lists, frames or tensors as a NumPy array; `name` is for errors."""
    if isinstance(x, np.ma.MaskedArray):
        return unmasked(name, x)
    if isinstance(x, np.ndarray | np.generic):
        return np.asarray(x)
    _refuse_other_objects(name, x)
    _refuse_masked_items(name, x)
    if hasattr(x, "detach"):
        tensor = x.float() if str(x.dtype).endswith("bfloat16") else x  # NumPy has no such type
        return _read(name, lambda: np.asarray(tensor.detach().cpu()))
    if is_lazy(x):
        return _read(name, lambda: x[np.arange(x.shape[0])])
    columns = _columns(x)
    if columns is not None:
        return _frame(name, columns)
    if hasattr(x, "to_numpy"):
        return _settled(name, _read(name, x.to_numpy))
    array = _read(name, lambda: np.asarray(x))
    if array.dtype.kind == "O" and array.ndim == 0:
        raise ValueError(f"{name} is of type {type(x).__name__}: expected an array")
    return _settled(name, array, x)


def unmasked(name: str, x: Any) -> np.ndarray:
    """Return what was read as a NumPy array, or refuse it if some of its values are masked."""
    if isinstance(x, np.ma.MaskedArray) and x.dtype.names is None and np.ma.is_masked(x):
        raise ValueError(
            f"{name} is a masked array with {int(np.ma.count_masked(x)):,} masked values: fill "
            f"them, {variable(name)}.filled(value), or drop their rows"
        )
    return np.asarray(x)


def to_label_array(name: str, y: Any) -> np.ndarray:
    """Return labels of one kind, none missing, as an array of numbers or strings."""
    array = to_array(name, y)
    return _settled(name, array.astype(object) if array.dtype.kind == "T" else array)


def _refuse_masked_items(name: str, x: Any) -> None:
    if isinstance(x, list | tuple):
        for i, item in enumerate(x):
            if isinstance(item, np.ma.MaskedArray):
                unmasked(f"{name}[{i}]", item)


def _refuse_other_objects(name: str, x: Any) -> None:
    kind, it = type(x).__name__, variable(name)
    if isinstance(x, str | bytes | os.PathLike):
        raise ValueError(
            f"{name}={x!r}: expected an array; load_dataset({x!r}) loads data by name or path"
        )
    if hasattr(x, "nnz") or hasattr(x, "todense"):
        raise ValueError(
            f"{name} is a sparse {kind}: expected a dense array; pass {it}.toarray() if it fits "
            "into memory"
        )
    if hasattr(x, "batch_sampler") or (hasattr(x, "dataset") and hasattr(x, "__iter__")):
        raise ValueError(
            f"{name} is a {kind}, which gives batches in its own order: expected the examples "
            f"themselves, {it}.dataset or one array; fit makes the batches (batch_size=...)"
        )
    if hasattr(x, "features") and hasattr(x, "with_format"):
        raise ValueError(
            f"{name} is a {kind} of Hugging Face: pass a column, numpy.stack({it}['image']), or "
            'load it with load_dataset("hf:NAME_OR_PATH?image=COLUMN&label=COLUMN")'
        )
    if hasattr(x, "__iter__") and not any(hasattr(x, n) for n in ("__getitem__", "__array__")):
        raise ValueError(
            f"{name} is a {kind}, which can be read only in its own order: expected an array; pass "
            f"numpy.stack(list({it})) if each item is one example, or "
            f"numpy.concatenate(list({it})) if each is a batch"
        )


def _columns(x: Any) -> list[tuple[Any, Any]] | None:
    """Return the columns of a data frame of pandas, polars or pyarrow, or None of anything else."""
    if not hasattr(x, "columns"):
        return None
    if hasattr(x, "iloc"):  # pandas; by position, as names may repeat
        return [(label, x.iloc[:, i]) for i, label in enumerate(x.columns)]
    if hasattr(x, "get_columns"):  # polars
        return list(zip(x.columns, x.get_columns(), strict=True))
    if hasattr(x, "column_names"):  # pyarrow
        return list(zip(x.column_names, x.columns, strict=True))
    return None


def _frame(name: str, columns: list[tuple[Any, Any]]) -> np.ndarray:
    """Return columns side by side. One of other than numbers is named here, where it has a name."""
    if not columns:
        raise ValueError(f"{name} has no columns")
    arrays = []
    for label, column in columns:
        what = f"{name}, column {label!r},"
        array = _settled(what, _read(what, column.to_numpy))
        if array.dtype.kind not in "biuf" or array.ndim != 1:
            raise ValueError(
                f"{what} is of type {getattr(column, 'dtype', array.dtype)}: expected numbers; "
                "leave it out, or encode it (OneHotEncoder, pandas.get_dummies)"
            )
        arrays.append(array)
    if np.result_type(*arrays).kind == "f":  # integers are rounded when columns are joined
        for (label, _), array in zip(columns, arrays, strict=True):
            if array.dtype.kind in "iu":
                refuse_inexact(f"{name}, column {label!r},", array)
    return np.stack(arrays, axis=1)


def _is_missing(value: Any) -> bool:
    """Say whether a value stands for a missing one: None, NaN, NA or NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _settled(name: str, array: np.ndarray, source: Any = None) -> np.ndarray:
    """Return an array of objects as one of numbers or strings, if its elements are of one kind."""
    mixed = isinstance(source, list | tuple) and array.dtype.kind in "US"
    if mixed:  # NumPy makes strings of numbers that stand among them, and of NaN
        array = np.asarray(source, object)
    if array.dtype.kind != "O":
        return array
    values = list(array.flat)
    missing = [i for i, value in enumerate(values) if _is_missing(value)]
    if missing:
        raise ValueError(
            f"{name} has {len(missing)} missing values of {len(values)}, the first at position "
            f"{missing[0]}: fill them or drop their rows"
        )
    for kinds, dtype in ((str, str), (bytes, bytes), (bool | np.bool_, bool)):
        if all(isinstance(value, kinds) for value in values):
            return array.astype(dtype)
    if all(isinstance(value, int | np.integer | float | np.floating) for value in values):
        return np.array(values).reshape(array.shape)
    kinds = sorted({type(value).__name__ for value in values})
    rectangular = "one rectangular array: numpy.stack([numpy.asarray(row, 'float32') for row in x])"
    raise ValueError(
        f"{name} holds Python objects ({', '.join(kinds[:3])}): expected values of one kind in "
        f"{'one array' if array.ndim == 1 else rectangular}"
    )


def _read(name: str, read: Any) -> np.ndarray:
    """Return what a foreign object gives for an array, or name the argument in its error."""
    try:
        found = read()
        array = np.asarray(found)
    except Exception as error:  # each library raises its own
        ragged = "inhomogeneous" in str(error)
        hint = "its rows differ in length" if ragged else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{name} cannot be read as one array of numbers ({hint}): expected rows of one shape, "
            "numpy.stack([numpy.asarray(row, 'float32') for row in rows])"
        ) from error
    return unmasked(name, found) if isinstance(found, np.ma.MaskedArray) else array
