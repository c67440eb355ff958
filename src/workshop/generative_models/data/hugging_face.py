"""Hugging Face data sets: hf:NAME_OR_PATH, from the hub or from a local folder.

Which column holds the examples and which the labels is read off their types, never their names.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np

from workshop.generative_models.core.checks import optional
from workshop.generative_models.data.arrays import Part, Source
from workshop.generative_models.data.folders import SPLIT_NAMES
from workshop.generative_models.data.pixels import count_frames, pixels_of
from workshop.generative_models.data.rows import Read, Rows, too_large

_LOOKED_AT = 64
"""How many images, evenly spaced, tell their size and whether any is coloured."""
_FORM = "hf:NAME_OR_PATH?image=COLUMN&label=COLUMN&config=NAME"


class _Address(NamedTuple):
    """A parsed hf: name; `label` is "" for none."""

    name: str
    image: str | None = None
    label: str | None = None
    config: str | None = None


def _parse(text: str, where: str) -> _Address:
    """Reads hf:NAME?image=COLUMN&label=COLUMN&config=NAME."""
    name, _, query = text.removeprefix("hf:").partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not name or not set(options) <= {"image", "label", "config"}:
        raise ValueError(f"{where}: expected {_FORM}, each part after ? only where it is needed")
    return _Address(name, **options)


def read(
    text: str, image_size: tuple[int, int] | None, where: str, *, on_disk: bool = False
) -> Source:
    """The splits train, validation and test of a data set; others are left out and noted."""
    address = _parse(text, where)
    splits, notes = _open(address, where)
    features = splits["train"].features
    column, label = _columns(features, address, where)
    parts = {}
    for key, rows in splits.items():
        x = _examples(rows, column, image_size, f"{where}: {key}", on_disk=on_disk)
        parts[key] = Part(x, _labels(rows, label, f"{where}: {key}"))
    return Source(parts, tuple(getattr(features.get(label), "names", ())) or None, notes=notes)


def shape(text: str, image_size: tuple[int, int] | None, where: str) -> tuple[int, ...]:
    """The shape of a stack of examples from all over train: some may be grey, others coloured."""
    address = _parse(text, where)
    rows = _open(address, where)[0]["train"]
    column, _ = _columns(rows.features, address, where)
    some = rows.select(range(0, len(rows), max(1, len(rows) // _LOOKED_AT)))
    return _examples(some, column, image_size, where).shape


def _open(address: _Address, where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The splits, and a note on those that are left out."""
    datasets = optional("datasets", "hf", where)
    path = Path(os.path.expanduser(address.name))
    saved = (path / "dataset_dict.json").exists() or (path / "state.json").exists()
    try:
        if saved:  # a folder that save_to_disk wrote
            found = datasets.load_from_disk(str(path))
        else:
            name = str(path) if path.exists() else address.name
            found = datasets.load_dataset(name, address.config)
    except Exception as error:  # datasets, its readers and the network have one kind each
        raise ValueError(f"{where}: cannot be loaded ({type(error).__name__}: {error})") from error
    found = found if isinstance(found, Mapping) else {"train": found}
    names = {name: SPLIT_NAMES[name.lower()] for name in found if name.lower() in SPLIT_NAMES}
    if "train" not in names.values() or len(set(names.values())) < len(names):
        raise ValueError(
            f"{where}: has the splits {', '.join(found)}; expected one named train, and at most "
            "one each for validation and test"
        )
    others = [f"left out the split {name}" for name in found if name not in names]
    return {split: found[name] for name, split in names.items()}, tuple(others)


def _columns(features: Mapping[str, Any], address: _Address, where: str) -> tuple[str, str]:
    """The columns of the examples and of the labels, "" without labels."""
    for option, name in (("image", address.image), ("label", address.label)):
        if name and name not in features:
            raise ValueError(f"{where}: no column {name!r} for {option}; {_described(features)}")
    images = [name for name, kind in features.items() if _kind(kind) == "Image"]
    arrays = [name for name, kind in features.items() if _is_array(kind)]
    labels = [name for name, kind in features.items() if _kind(kind) == "ClassLabel"]
    image = address.image or _only(images or arrays, "image", features, where)
    if address.label is not None:
        return image, address.label
    return image, _only(labels, "label", features, where) if labels else ""


def _only(names: list[str], option: str, features: Mapping[str, Any], where: str) -> str:
    if len(names) == 1:
        return names[0]
    trouble = f"{' and '.join(names)} could each be" if names else "no column is an image or array,"
    raise ValueError(
        f"{where}: {trouble} the {option} column; {_described(features)}; choose with "
        f"?{option}=COLUMN" + (" (?label= for no labels)" if option == "label" else "")
    )


def _described(features: Mapping[str, Any]) -> str:
    return "columns: " + ", ".join(f"{name} ({_kind(kind)})" for name, kind in features.items())


def _kind(feature: Any) -> str:
    return type(feature).__name__


def _is_array(feature: Any) -> bool:
    """Array2D and Array3D, and lists (of lists) of numbers."""
    numbers = ("bool", "int", "uint", "float")
    return _kind(feature) != "Value" and _value_type(feature).startswith(numbers)


def _value_type(feature: Any) -> str:
    """The type that a column says its numbers have; "" if they are no numbers."""
    while _kind(feature) in ("Sequence", "List", "LargeList"):
        feature = feature.feature
    return feature.dtype if _kind(feature) in ("Array2D", "Array3D", "Value") else ""


def _examples(
    rows: Any,
    column: str,
    image_size: tuple[int, int] | None,
    what: str,
    *,
    on_disk: bool = False,
) -> np.ndarray | Rows:
    rows = rows.select_columns([column])
    bytes_declared = _value_type(rows.features[column]) == "uint8"

    def read(indices: np.ndarray) -> np.ndarray:
        chosen = rows.select(indices)
        if _kind(rows.features[column]) != "Image":
            found = np.asarray(chosen.with_format("numpy")[:][column])  # integers have 64 bits
            return found.astype(np.uint8) if bytes_declared and found.dtype.kind == "i" else found
        return _images(chosen, indices, column, image_size, what)

    return _in_memory_or_on_disk(read, len(rows), what, on_disk=on_disk)


def _in_memory_or_on_disk(
    read: Read, count: int, what: str, *, on_disk: bool = False
) -> np.ndarray | Rows:
    """All examples, or where they are too many for the memory, `Rows` that read them."""
    every = np.arange(count)
    if not on_disk and not too_large(count * read(every[:1]).nbytes):
        return read(every)
    like = read(every[:: max(1, count // _LOOKED_AT)])[0]

    def some(indices: np.ndarray) -> np.ndarray:
        x = read(indices)
        same = x.shape[1:-1] == like.shape[:-1] and x.dtype == like.dtype
        if not same or x.shape[-1] not in (1, like.shape[-1]):
            raise ValueError(
                f"{what}: the examples {indices[0]} to {indices[-1]} have shape {x.shape[1:]} "
                f"{x.dtype}, but those looked at first {like.shape} {like.dtype}; expected one "
                "kind, and one size of images: image_size=(HEIGHT, WIDTH) resizes all"
            )
        return np.broadcast_to(x, (len(x), *like.shape))

    return Rows(some, every, like.shape, like.dtype)


def _images(
    rows: Any, numbers: np.ndarray, column: str, image_size: tuple[int, int] | None, what: str
) -> np.ndarray:
    """One array of images of one size and kind; grey ones among coloured ones become coloured."""
    images: list[np.ndarray] = []
    for place, i in enumerate(numbers):
        try:
            image = rows[place][column]  # decoded and turned upright
        except Exception as error:  # decoders raise all sorts of things on a broken image
            raise ValueError(
                f"{what}: image {i} cannot be read ({type(error).__name__}: {error})"
            ) from error
        if image is None:
            raise ValueError(f"{what}: image {i} is missing; expected an image in every row")
        images.append(pixels_of(image, count_frames(image), f"{what}: image {i}", image_size))
        this, first = (f"{x.shape[0]}×{x.shape[1]} {x.dtype}" for x in (images[-1], images[0]))
        if this != first:
            raise ValueError(
                f"{what}: image {i} is {this} but image {numbers[0]} is {first} (height × width); "
                f"expected one size, as image_size={images[0].shape[:2]} gives, and one depth"
            )
    channels = max(image.shape[-1] for image in images)
    return np.stack([np.broadcast_to(image, (*image.shape[:2], channels)) for image in images])


def _labels(rows: Any, label: str, what: str) -> np.ndarray | None:
    if not label:
        return None
    values = rows.select_columns([label]).with_format(None)[:][label]
    missing = sum(value is None or value == -1 for value in values)
    if missing:  # -1 stands for "not given", as in the hidden test labels of a competition
        raise ValueError(
            f"{what}: {missing} of {len(values)} rows have no label; expected all of them, or "
            "?label= for no labels"
        )
    return np.asarray(values)
