"""A run folder, read back: its model, the data it was trained on, and its options."""

from pathlib import Path
from typing import Any

from workshop.generative_models.data import Dataset, load_dataset
from workshop.generative_models.models.saving import load_model, read_config
from workshop.generative_models.models.vae import VAE

DATA_OPTIONS = ("seed", "binarize", "limit", "image_size")


def load_data(name: str, options: dict[str, Any]) -> Dataset:
    """Load data with the options of a run."""
    chosen = {key: options[key] for key in DATA_OPTIONS}
    if chosen["image_size"] is not None:
        chosen["image_size"] = tuple(chosen["image_size"])
    return load_dataset(name, **chosen)


def open_run(run: Path, data: str | None = None) -> tuple[VAE, Dataset, dict[str, Any]]:
    """Return a run's model, its data or other data of the same shape, and its options."""
    content = read_config(run)
    if "training" not in content:
        raise ValueError(f"{run}/config.json names no data: pass it with --data")
    options = content["training"]
    model = load_model(run)
    dataset = load_data(data or options["data"], options)
    if dataset.shape != model.event_shape:
        raise ValueError(
            f"--data {data}: its examples have shape {dataset.shape}, the model's "
            f"{model.event_shape}"
        )
    return model, dataset, options
