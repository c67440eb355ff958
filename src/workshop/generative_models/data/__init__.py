"""Data sets by name, from files and from arrays, as numpy arrays in three splits."""

from workshop.generative_models.data.arrays import from_arrays
from workshop.generative_models.data.dataset import Dataset, DatasetInfo, Split
from workshop.generative_models.data.load import data_shape, list_datasets, load_dataset

__all__ = [
    "Dataset",
    "DatasetInfo",
    "Split",
    "data_shape",
    "from_arrays",
    "list_datasets",
    "load_dataset",
]
