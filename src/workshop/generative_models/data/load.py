"""`load_dataset`: data by name or by path."""

from __future__ import annotations

import difflib

from workshop.generative_models.data import arrays, builtin
from workshop.generative_models.data.dataset import Dataset, DatasetInfo


def list_datasets() -> dict[str, DatasetInfo]:
    """The data sets known by name; nothing is loaded."""
    return dict(builtin.DATASETS)


def load_dataset(name: str, *, seed: int = 0) -> Dataset:
    """Loads a data set by name."""
    where = f"load_dataset({name!r})"
    if name in builtin.DATASETS:
        return arrays.build(name, builtin.read(name, seed), seed=seed, where=where)
    close = difflib.get_close_matches(name, builtin.DATASETS, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{where}: expected one of {', '.join(builtin.DATASETS)}{hint}")


def data_shape(name: str) -> tuple[int, ...]:
    """The shape of one example."""
    return list_datasets()[name].shape
