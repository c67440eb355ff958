"""Read a run folder: its model, the data it was trained on, and its options."""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from workshop.cli.starting import checked_training
from workshop.generative_models.core import checks
from workshop.generative_models.core.files import CONFIG_FILE, read_config
from workshop.generative_models.data import (
    Dataset,
    Split,
    list_datasets,
    load_dataset,
    load_in_order,
)
from workshop.generative_models.data.record import (
    as_recorded,
    compare,
    read_record,
    unchanged,
    write_record,
)
from workshop.generative_models.models.restoring import load_run
from workshop.generative_models.models.vae import VAE

_DATA_OPTIONS = ("seed", "binarize", "limit", "image_size", "skip_unusable")

_log = logging.getLogger("workshop")


def compile_once() -> None:
    """Keep compiled programs on disk, in JAX_COMPILATION_CACHE_DIR or the user's cache folder."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = Path(caches).expanduser() / "workshop" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def load_data(name: str, options: dict[str, Any]) -> Dataset:
    """Load data with the options of a run."""
    return load_dataset(name, **_chosen(options))


def load_run_data(run: Path, options: dict[str, Any], data: str | None = None) -> Dataset:
    """Load a run's data, or `data`, with each example in the split in which the run had it.

    Training examples never count as test, even if the data has changed since; how it has changed is
    logged.
    """
    name = options["data"] if data is None else data
    if data is None:
        check_there(run, name)
    dataset, record = load_data(name, options), read_record(run)
    if record is None:
        if data is None and name not in list_datasets():
            _log.warning(
                "%s has no record of the examples that it was trained on: if %s has changed since, "
                "test examples may be among them", run, name,
            )  # fmt: skip
        return dataset
    if options["limit"] is not None and not unchanged(record, dataset):
        dataset = load_data(name, options | {"limit": None})
    dataset, change = as_recorded(record, dataset)
    if change is not None and (change.found or data is None):  # else it is other data
        hint = "" if options["limit"] is None else "; those beyond the run's --limit count as new"
        said = f"not as the run found it, {change}{hint}"
        _log.warning("%s is %s", name, said)
        dataset = replace(dataset, notes=(*dataset.notes, said))
    return dataset


def write_run_record(run: Path, dataset: Dataset, name: str) -> None:
    """Record what each split holds, unless it is data that never changes or there is a record."""
    if name not in list_datasets() and read_record(run) is None:
        write_record(dataset, run)


def check_unchanged(run: Path, dataset: Dataset, name: str) -> None:
    """Refuse to go on with a run on data that has changed since it began."""
    record = read_record(run)
    if record is not None and not unchanged(record, dataset):
        raise ValueError(
            f"--resume {run}: {name} is not as the run found it, {compare(record, dataset)}; "
            "restore the data, or start a new run"
        )


def is_own_data(run: Path, dataset: Dataset) -> bool:
    """Return whether data is what the run was trained on, wherever it lies now."""
    record = read_record(run)
    return record is not None and unchanged(record, dataset)


def check_there(run: Path, name: str) -> None:
    """Refuse data on disk that is not where the run found it, and say what to do."""
    path = name.removeprefix("hf:").partition("?")[0]
    gone = Path(path).is_absolute() and not Path(path).exists()
    if gone and name not in list_datasets():
        raise ValueError(
            f"{run}: its data, {path}, is not there: say where it lies now with --data NEWPATH, "
            f"or write it into {run / 'config.json'}, as data of training"
        )


def every_example(
    name: str, options: dict[str, Any], *, on_disk: bool = False
) -> tuple[dict[str, Split], tuple[str, ...] | None]:
    """Load all data in its own order, with the options of a run, and the names of its classes.

    The run's --limit does not apply.
    """
    chosen = _chosen(options)
    del chosen["limit"]
    return load_in_order(name, **chosen, on_disk=on_disk)


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    chosen = {key: options[key] for key in _DATA_OPTIONS}
    if chosen["image_size"] is not None:
        chosen["image_size"] = tuple(chosen["image_size"])
    return chosen


def read_options(run: Path, data: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of a run's config.json, and the options of its training.

    A folder without options of a training needs the `data` of the command.
    """
    content = read_config(run)
    found = content.get("training")
    if found is None:
        if data is None:
            raise ValueError(
                f"{run} holds a model, but not what it was trained on (`workshop train` did not "
                "make it): name the data, with --data, or after the run for score and encode"
            )
        found = {"data": data}
    return content, checked_training(found, run / CONFIG_FILE)


def whole_name(data: str) -> str:
    """Return the name of data from anywhere: of a path, the whole one."""
    prefix = "hf:" if data.startswith("hf:") else ""
    path, mark, query = data.removeprefix("hf:").partition("?" if prefix else "\0")
    place = os.path.expanduser(path)
    if data in list_datasets() or not os.path.exists(place):
        return data
    return f"{prefix}{Path(place).resolve()}{mark}{query}"


def open_run(run: Path, data: str | None = None) -> tuple[VAE, Dataset, dict[str, Any]]:
    """Return a run's model, its data or other data of the same shape, and its options."""
    compile_once()
    content, options = read_options(run, data)
    model = load_run(run)
    dataset = load_run_data(run, options, data)
    check_shape(f"--data {options['data'] if data is None else data}", dataset.shape, model)
    if data is not None or content.get("classes") is not None:
        what = options["data"] if data is None else data
        splits = as_trained(model, content, dataset.splits, dataset.class_names, what)
        dataset = replace(dataset, **splits, class_names=_classes(model, content, dataset))
    return model, dataset, options


def _classes(model: VAE, content: dict[str, Any], dataset: Dataset) -> tuple[str, ...] | None:
    known = content.get("classes") if model.conditional else None
    return dataset.class_names if known is None else tuple(known)


def as_trained(
    model: VAE,
    content: dict[str, Any],
    splits: dict[str, Split],
    names: Sequence[str] | None,
    data: str,
) -> dict[str, Split]:
    """Return other data with the labels that a conditional model was trained on, matched by name.

    A folder with some of the classes numbers them differently, which the model cannot notice.
    """
    if not model.conditional:
        return splits
    if any(split.y is None for split in splits.values()):
        raise ValueError(f"{data} has no labels, and the model was trained to read them")
    known = content.get("classes")
    if (known is None) != (names is None):
        raise ValueError(f"{data}: its classes have {'names' if names else 'numbers'}, those that "
                         f"the model was trained on {'names' if known else 'numbers'}")  # fmt: skip
    if known is None or names is None or list(names) == list(known):
        return splits
    for name in names:
        checks.one_of(f"{data}: class", name, known)
    places = np.array([known.index(name) for name in names], np.int32)
    return {k: replace(s, y=places[s.y]) for k, s in splits.items()}


def refuse_overwriting(out: Path | None, source: str | Path) -> None:
    """Refuse an output that is the file which a command reads."""
    if out is not None and out.is_file() and Path(source).is_file() and out.samefile(source):
        raise ValueError(f"--out {out} is the file that is read: choose another name")


def check_shape(data: str, shape: tuple[int, ...], model: VAE) -> None:
    """Refuse data whose examples are not of the model's shape."""
    if shape != model.event_shape:
        raise ValueError(
            f"{data}: its examples have shape {shape}, the model's {model.event_shape}"
        )
