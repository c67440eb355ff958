"""`workshop train`: data and a model by name in, a run folder out."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optax
from flax import nnx
from rich.console import Console
from rich.table import Table

from workshop.cli.options import TrainOptions
from workshop.cli.runs import load_data
from workshop.generative_models.core import checks
from workshop.generative_models.data import Dataset
from workshop.generative_models.models.saving import (
    build_model,
    read_config,
    save_config,
    save_weights,
)
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.training import Trainer
from workshop.generative_models.visualization.report import run_figures, save_figures

console = Console()


def train(options: TrainOptions) -> None:
    """Train a model, or go on with a run, and write its folder."""
    if options.resume is not None:
        folder, content = options.resume, read_config(options.resume)
        name, config, settings = content["model"], content["config"], content["training"]
    else:
        _check(options)
        name, config, settings = options.model, options.config, _settings(options)
        folder = _new_folder(options)
    dataset = load_data(settings["data"], settings)
    model = build_model(name, config, rngs=nnx.Rngs(settings["seed"]))
    _check_classes(model, dataset)
    if options.resume is None:
        save_config(model, folder, training=settings)
    console.print(f"{name} on {dataset}\nrun folder: {folder}", highlight=False)
    trainer = Trainer(
        model,
        optax.adam(settings["learning_rate"]),
        settings["batch_size"],
        settings["seed"],
        folder=folder,
        checkpoint_every=settings["checkpoint_every"],
        progress=options.progress,
    )
    try:
        rows = trainer.fit(dataset, steps=settings["steps"], resume=options.resume is not None)
    except KeyboardInterrupt:
        console.print(f"stopped; go on with: workshop train --resume {folder}")
        raise
    save_weights(model, folder)
    with console.status("drawing figures"):
        figures = run_figures(model, dataset.test, rows, dataset.class_names, settings["seed"])
        save_figures(figures, folder / "figures")
    title = f"test, {len(dataset.test):,} examples"
    console.print(metrics_table(trainer.evaluate(dataset.test), title))
    console.print(f"figures: {folder / 'figures'}", highlight=False)


def metrics_table(metrics: dict[str, float], title: str) -> Table:
    """Return metrics as a table, in nats per example."""
    names = {
        "elbo": "ELBO",
        "reconstruction_loss": "reconstruction, -log p(x|z)",
        "kl_loss": "KL",
        "loss": "loss",
    }
    table = Table("figure", "nats per example", title=title)
    table.columns[1].justify = "right"
    for key, label in names.items():
        table.add_row(label, f"{metrics[key]:.3f}")
    for key in sorted(metrics.keys() - names.keys()):
        table.add_row(key.replace("_", " "), f"{metrics[key]:.3f}")
    return table


def _settings(options: TrainOptions) -> dict[str, Any]:
    """Return the options that a resumed run needs, as JSON holds them."""
    names = ("data", "steps", "batch_size", "learning_rate", "seed", "binarize", "limit",
             "image_size", "checkpoint_every")  # fmt: skip
    settings = {key: value for key, value in asdict(options).items() if key in names}
    return json.loads(json.dumps(settings))


def _check(options: TrainOptions) -> None:
    """Refuse bad options before anything is loaded or written."""
    for field in ("steps", "batch_size", "checkpoint_every"):
        checks.positive_int(f"--{field.replace('_', '-')}", getattr(options, field))
    if not 0 < options.learning_rate < float("inf"):
        raise ValueError(f"--learning-rate={options.learning_rate}: expected a positive number")


def _new_folder(options: TrainOptions) -> Path:
    if options.out is not None:
        if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
            raise ValueError(
                f"--out {options.out} is not empty: choose another folder, or go on with that run "
                f"by workshop train --resume {options.out}"
            )
        return options.out
    data = Path(options.data.removeprefix("hf:").split("?")[0]).stem
    first = Path("runs") / f"{data}-{options.model}"
    numbered = (first.with_name(f"{first.name}-{i}") for i in range(2, 10_000))
    return next(folder for folder in (first, *numbered) if not folder.exists())


def _check_classes(model: VAE, dataset: Dataset) -> None:
    classes = getattr(model, "condition_dim", None)
    if classes is not None and dataset.num_classes is not None and classes < dataset.num_classes:
        raise ValueError(f"--condition-dim {classes}: the data has {dataset.num_classes} classes")
