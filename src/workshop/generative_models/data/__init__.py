"""Data sets by name, from files and from arrays, as numpy arrays in three splits.

`workshop.generative_models.data.sprites` draws sprites from their factors; it imports jax, which
the rest does not, and is imported when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from workshop.generative_models.data.arrays import from_arrays
from workshop.generative_models.data.dataset import Dataset, DatasetInfo, Split
from workshop.generative_models.data.load import (
    data_shape,
    list_datasets,
    load_dataset,
    load_in_order,
)

if TYPE_CHECKING:
    from workshop.generative_models.data import sprites

__all__ = [
    "Dataset",
    "DatasetInfo",
    "Split",
    "data_shape",
    "from_arrays",
    "list_datasets",
    "load_dataset",
    "load_in_order",
    "sprites",
]


def __getattr__(name: str) -> Any:
    if name == "sprites":
        return importlib.import_module(f"{__name__}.sprites")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
