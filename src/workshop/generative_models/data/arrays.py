"""From arrays somebody gives to a checked, shuffled and split `Dataset`."""

import functools
import logging
import operator
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from workshop.generative_models.core.containers import to_array, to_label_array
from workshop.generative_models.core.numbers import (
    as_numbers,
    kind_of,
    not_numbers,
    refuse_ambiguous_bytes,
    require_finite,
)
from workshop.generative_models.data.dataset import Dataset, Split
from workshop.generative_models.data.rows import Rows, changed

SPLITS = ("train", "validation", "test")
_HELD_OUT = 0.1  # the share of the examples that validation and test get each


class Part(NamedTuple):
    """Examples as a source has them, before any check: see `Split` for the fields."""

    x: Any
    y: Any = None
    factors: np.ndarray | None = None
    names: tuple[str, ...] | None = None


class Source(NamedTuple):
    """What a loader found: some of train, validation and test, and what is known about them."""

    parts: Mapping[str, Part]
    class_names: tuple[str, ...] | None = None
    held_out: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


def from_arrays(x: Any, y: Any = None, *, seed: int = 0) -> Dataset:
    """Checks, converts, shuffles and splits arrays: 80% train, 10% validation, 10% test.

    Args:
        x: Examples, (n, d), (n, h, w) or (n, h, w, c): an array, lists, a data frame or a tensor,
            read by position. uint8 stands for k / 255, as in image files; bool is 0 and 1 and
            becomes uint8 (True is 255); all other numbers are taken as they are, as float32.
        y: Labels, (n,) integers, or strings or categories, which become indices into the sorted
            names.
        seed: Decides the order and the split.

    Raises:
        ValueError: If `x` is empty, not finite, too short to split or of no usable dtype, or if
            `y` does not label it.

    Examples:
        >>> from_arrays(np.random.rand(50, 8, 8), np.arange(50) % 5)
        Dataset(arrays (8 × 8 × 1, float32; train 40, validation 5, test 5; 5 classes))
    """
    seed = whole("from_arrays", "seed", seed, 0)
    return build("arrays", Source({"train": Part(x, y)}), seed=seed, where="from_arrays")


def whole(where: str, argument: str, value: object, least: int) -> int:
    """An argument as an integer that is not too small."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise ValueError(f"{where}: {argument}={value!r}; expected {argument} >= {least}, whole")
    return number


def build(name: str, source: Source, *, seed: int, where: str) -> Dataset:
    """Checks what a source found and makes the three splits; `where` begins every error."""
    found, class_names = in_order(source, where=where)
    splits = _split(found, source.held_out, seed, where)
    warn_of_missing_classes(splits, class_names, where)
    return Dataset(name, **splits, class_names=class_names, notes=source.notes)


def in_order(source: Source, *, where: str) -> tuple[dict[str, Split], tuple[str, ...] | None]:
    """Checks what a source found: its parts as they are, and the names of the classes."""
    parts = source.parts
    xs = _check_examples({key: part.x for key, part in parts.items()}, where)
    ys, class_names = _check_labels(
        {key: part.y for key, part in parts.items()}, xs, source.class_names, where
    )
    splits = {key: Split(xs[key], ys[key], part.factors, part.names) for key, part in parts.items()}
    return splits, class_names


def _split(
    splits: Mapping[str, Split], held_out: tuple[int, int] | None, seed: int, where: str
) -> dict[str, Split]:
    """Shuffles train and takes the splits that are missing from its end."""
    train = splits["train"]
    n = len(train)
    tenth = max(1, round(_HELD_OUT * n))
    wanted = dict(zip(SPLITS[1:], held_out or (tenth, tenth), strict=True))
    missing = {key: count for key, count in wanted.items() if key not in splits}
    keep = n - sum(missing.values())
    if keep < 1:
        raise ValueError(
            f"{where}: got {n} example(s); expected at least {n - keep + 1}, one for train and one "
            f"each for {' and '.join(missing)}"
        )
    order = stratified_permutation(train.y, n, seed)
    result, stop = dict(splits), keep
    if train.y is not None:
        order = _with_every_class(train.y, order, keep)
    result["train"] = train.take(order[:keep])
    for key, count in missing.items():
        result[key] = train.take(order[stop : stop + count])
        stop += count
    return result


def _with_every_class(
    y: Int[np.ndarray, " n"], order: Int[np.ndarray, " n"], keep: int
) -> Int[np.ndarray, " n"]:
    """The order, in which each class has an example among the first `keep` if it can be."""
    order = order.copy()
    for label in np.setdiff1d(y[order[keep:]], y[order[:keep]]):
        inside = y[order[:keep]]
        several = np.flatnonzero(np.bincount(inside)[inside] > 1)
        if len(several):
            outside = keep + int(np.flatnonzero(y[order[keep:]] == label)[0])
            order[[several[-1], outside]] = order[[outside, several[-1]]]
    return order


def warn_of_missing_classes(
    splits: Mapping[str, Split], class_names: tuple[str, ...] | None, where: str
) -> None:
    """Logs the classes that other splits have and train has not."""
    labels = {key: split.y for key, split in splits.items() if split.y is not None}
    if "train" not in labels:
        return
    missing = np.setdiff1d(np.concatenate(list(labels.values())), labels["train"])
    if len(missing):
        names = [class_names[i] if class_names else str(i) for i in missing[:5]]
        named = ", ".join([*names, "..."] if len(missing) > 5 else names)
        logging.getLogger("workshop").warning(
            "%s: %d classes have no training example: %s", where, len(missing), named
        )


def stratified_permutation(y: np.ndarray | None, n: int, seed: int) -> Int[np.ndarray, " n"]:
    """A random order in which every stretch has the classes in about their overall shares.

    The i-th example, in a random order, of a class with m is placed at (i + u) / m, u uniform.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    if y is None:
        return order
    place = np.empty(n)
    for label in np.unique(y):
        members = np.flatnonzero(y[order] == label)
        place[members] = (np.arange(len(members)) + rng.random(len(members))) / len(members)
    return order[np.argsort(place, kind="stable")]


def _check_examples(xs: Mapping[str, Any], where: str) -> dict[str, np.ndarray | Rows]:
    """Every part's examples as uint8 or float32 with a channel axis; `Rows` when read."""
    whats = {key: f"{where}: {_named('x', key, xs)}" for key in xs}
    result = {
        key: changed(
            x if isinstance(x, Rows) else to_array(whats[key], x),
            functools.partial(_as_examples, what=whats[key]),
        )
        for key, x in xs.items()
    }
    in_memory = [x for x in result.values() if isinstance(x, np.ndarray)]
    if len(in_memory) == len(result) and {x.dtype for x in in_memory} == {np.dtype(np.uint8)}:
        # Of all splits together: one of them may be dark.
        refuse_ambiguous_bytes(f"{where}: x", np.array([x.max() for x in in_memory]))
    kinds = {key: (x.shape[1:], str(x.dtype)) for key, x in result.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(
            f"{where}: the splits differ in (shape, dtype): {kinds}; expected the same"
        )
    return result


def _named(field: str, key: str, parts: Mapping) -> str:
    return field if len(parts) == 1 else f"{field}_{key}"


def check_kind(what: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuses arrays that no examples can be."""
    if kind_of(dtype) not in "bif":
        raise ValueError(not_numbers(what, dtype))
    if len(shape) not in (2, 3, 4):
        way_out = "; for examples of one number each, x[:, None]" if len(shape) == 1 else ""
        raise ValueError(
            f"{what} has shape {shape}; expected (n, d), (n, h, w) or (n, h, w, c){way_out}"
        )
    if 0 in shape:
        raise ValueError(f"{what} has shape {shape}: it is empty")


def _as_examples(x: np.ndarray, what: str) -> np.ndarray:
    check_kind(what, x.shape, x.dtype)
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        warnings.warn(
            f"{what} has shape {x.shape}, read as images of height {x.shape[1]} with {x.shape[3]} "
            "channels; where the channels come first, give numpy.moveaxis(x, 1, -1)",
            stacklevel=2,
        )
    x = as_numbers(what, x)
    if x.dtype == np.float32:
        require_finite(what, x)
    return x[..., None] if x.ndim == 3 else x


def _check_labels(
    ys: Mapping[str, Any],
    xs: Mapping[str, np.ndarray | Rows],
    class_names: tuple[str, ...] | None,
    where: str,
) -> tuple[dict[str, np.ndarray | None], tuple[str, ...] | None]:
    """Every part's labels as int32, and the class names: those given, or the strings in `ys`."""
    if all(y is None for y in ys.values()):
        return dict(ys), None
    lacking = [key for key, y in ys.items() if y is None]
    if lacking:
        raise ValueError(
            f"{where}: no labels for {', '.join(lacking)}; expected all splits or none"
        )
    arrays = {key: to_label_array(f"{where}: {_named('y', key, ys)}", y) for key, y in ys.items()}
    for key, y in arrays.items():
        what = f"{where}: {_named('y', key, ys)}"
        if y.ndim != 1:
            raise ValueError(
                f"{what} has shape {y.shape}; expected (n,) class labels; for one-hot labels "
                "y.argmax(-1), for a column y[:, 0]"
            )
        if len(y) != len(xs[key]):
            raise ValueError(f"{what} has {len(y)} labels for {len(xs[key])} examples")
        if y.dtype.kind not in "biuUS":
            raise ValueError(
                f"{what} has dtype {y.dtype}; expected integers or strings: "
                "numpy.unique(y, return_inverse=True)[1] numbers the values"
            )
    if len({y.dtype.kind in "US" for y in arrays.values()}) > 1:
        types = {key: str(y.dtype) for key, y in arrays.items()}
        raise ValueError(f"{where}: the labels are strings in some splits only: {types}")
    arrays = {k: y.astype(str) if y.dtype.kind in "US" else y for k, y in arrays.items()}
    joined = np.concatenate(list(arrays.values()))
    if joined.dtype.kind == "U":
        names = np.unique(joined)
        codes = {k: np.searchsorted(names, y) for k, y in arrays.items()}
        return {k: y.astype(np.int32) for k, y in codes.items()}, tuple(names.tolist())
    # A label far above the number of examples is an identity or a year, not a class.
    classes = len(class_names) if class_names else max(1000, len(joined))
    if joined.min() < 0 or joined.max() >= classes:
        raise ValueError(
            f"{where}: y spans {joined.min()}..{joined.max()}; expected 0..num_classes-1: "
            "y = numpy.unique(y, return_inverse=True)[1]"
        )
    return {key: y.astype(np.int32) for key, y in arrays.items()}, class_names
