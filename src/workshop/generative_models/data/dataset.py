"""Data sets: three splits of arrays, checked once when they are made."""

from dataclasses import dataclass

import numpy as np

from workshop.generative_models.data.rows import Rows, select


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a data set: examples and what is known about them.

    Args:
        x: Examples, (n, *shape). uint8 images stand for x / 255 (the train step divides, so that
            they stay small in memory); float32 is used as it is. What is too large for memory is
            `Rows`, read from disk when it is indexed.
        y: Class labels 0..num_classes-1, (n,) int32; or what else a conditional model reads, int32
            or float32 with a row for each example; or None.
        factors: Ground-truth factors, (n, k) int32, or None.
        names: The file each example came from, relative to its folder, or None.

    Raises:
        ValueError: If a dtype or a length is not as above.
            `load_dataset` and `from_arrays` convert; this class only checks.

    Examples:
        >>> split = Split(np.zeros((3, 8, 8, 1), np.float32), y=np.arange(3, dtype=np.int32))
        >>> split
        Split(3 × (8, 8, 1) float32, y)
        >>> split.take([2, 0]).y.tolist()
        [2, 0]
    """

    x: np.ndarray | Rows
    y: np.ndarray | None = None
    factors: np.ndarray | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.x.dtype not in (np.uint8, np.float32) or self.x.ndim < 2:
            raise ValueError(
                f"Split(x={self.x.dtype} {self.x.shape}): expected uint8 or float32 of shape "
                "(n, ...); from_arrays(x, y) converts other arrays"
            )
        if self.y is not None and (self.y.dtype not in (np.int32, np.float32) or not self.y.ndim):
            raise ValueError(
                f"Split(y={self.y.dtype} {self.y.shape}): expected class labels, int32 (n,), or "
                "rows of a condition, int32 or float32; from_arrays(x, y) converts other labels"
            )
        factors = self.factors
        if factors is not None and (factors.dtype != np.int32 or factors.ndim != 2):
            raise ValueError(
                f"Split(factors={factors.dtype} {factors.shape}): expected int32 with 2 dimensions"
            )
        for name, value in (("y", self.y), ("factors", self.factors), ("names", self.names)):
            if value is not None and len(value) != len(self.x):
                raise ValueError(
                    f"Split: x has {len(self.x)} examples but {name} has {len(value)}; "
                    "expected one for each example"
                )

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        known = [name for name in ("y", "factors", "names") if getattr(self, name) is not None]
        return f"Split({', '.join([f'{len(self)} × {self.shape} {self.x.dtype}', *known])})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.x.shape[1:]

    @property
    def labels(self) -> np.ndarray | None:
        """Class labels (n,), or None where y is missing or is no class."""
        classes = self.y is not None and self.y.dtype == np.int32 and self.y.ndim == 1
        return self.y if classes else None

    def take(self, indices: np.ndarray | slice | list[int]) -> "Split":
        """The examples at `indices` (integers, a boolean mask or a slice), in that order."""
        rows = np.arange(len(self))[indices]
        return Split(
            select(self.x, indices),
            None if self.y is None else self.y[indices],
            None if self.factors is None else self.factors[indices],
            None if self.names is None else tuple(self.names[row] for row in rows),
        )


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set in three splits of the same kind.

    Args:
        name: What it was loaded as.
        train: Examples to fit, already in a seeded random order.
        validation: Examples to choose by.
        test: Examples to report on.
        class_names: The name of each label, or None.
        notes: What was left out of the source or passed over in it.

    Raises:
        ValueError: If the splits differ in shape, dtype or in having labels, a split is empty, or
            a label is outside 0..num_classes-1.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, split in self.splits.items():
            if len(split) == 0:
                raise ValueError(f"Dataset({self.name!r}): the {name} split is empty")
        kinds = {
            name: (split.shape, str(split.x.dtype), split.y is not None)
            for name, split in self.splits.items()
        }
        if len(set(kinds.values())) > 1:
            raise ValueError(
                f"Dataset({self.name!r}): its splits differ in (shape, dtype, has labels): "
                f"{kinds}; expected the same in each"
            )
        for name, split in self.splits.items():
            if split.y is not None and split.labels is None:
                raise ValueError(
                    f"Dataset({self.name!r}): {name} has y of type {split.y.dtype} and shape "
                    f"{split.y.shape}: expected class labels, int32 (n,); conditions of another "
                    "kind go into arrays or Splits, which fit and the estimates take"
                )
            if split.y is not None and not 0 <= split.y.min() <= split.y.max() < self._classes():
                raise ValueError(
                    f"Dataset({self.name!r}): {name} labels span {split.y.min()}..{split.y.max()}, "
                    f"expected 0..{self._classes() - 1} ({self._classes()} classes)"
                )

    def __str__(self) -> str:
        shape = " × ".join(map(str, self.shape))
        counts = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        count = self.num_classes
        classes = [] if count is None else ["1 class" if count == 1 else f"{count} classes"]
        kind = "bytes, k / 255" if self.train.x.dtype == np.uint8 else "float32"
        return f"{self.name} ({'; '.join([f'{shape}, {kind}', counts, *classes, *self.notes])})"

    def __repr__(self) -> str:
        return f"Dataset({self})"

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return self.train.shape

    @property
    def num_classes(self) -> int | None:
        """How many classes there are, or None without labels."""
        return None if self.train.y is None else self._classes()

    def _classes(self) -> int:
        if self.class_names is not None:
            return len(self.class_names)
        return 1 + max(int(s.y.max()) for s in self.splits.values() if s.y is not None)


@dataclass(frozen=True)
class DatasetInfo:
    """What `list_datasets` says of a data set without loading it.

    That is the shape of one example, the number of examples in all splits together, and the extra
    of this package that it needs, or None if it ships.
    """

    description: str
    shape: tuple[int, ...]
    examples: int
    num_classes: int | None = None
    extra: str | None = None
