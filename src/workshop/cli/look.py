"""Commands that look at a trained run: samples, reconstructions, paths, figures of merit."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import workshop
from workshop.cli.runs import compile_once, open_run
from workshop.cli.train import metrics_table, say
from workshop.generative_models.core import checks
from workshop.generative_models.data import Split
from workshop.generative_models.models.saving import read_config
from workshop.generative_models.models.vae import ConditionalVAE
from workshop.generative_models.training import Trainer
from workshop.generative_models.visualization import report, save

console = Console()


def sample(
    run: Path, count: int, temperature: float, label: int | None, seed: int, out: Path | None
) -> None:
    """Draw samples."""
    compile_once()
    model = workshop.load(run)
    if label is not None and not isinstance(model, ConditionalVAE):
        raise ValueError(f"--label {label}: a {read_config(run)['model']} has no classes")
    labels = None if label is None else np.full(count, label)
    figure, samples = report.draw_samples(
        model, count, temperature=temperature, labels=labels, seed=seed
    )
    _write(figure, samples, out or run / "figures" / "samples.png")


def reconstruct(run: Path, data: str | None, count: int, out: Path | None) -> None:
    """Draw reconstructions."""
    model, dataset, _ = open_run(run, data)
    split = dataset.test.take(slice(checks.positive_int("--count", count)))
    figure = report.draw_reconstructions(model, split, count, dataset.class_names)
    made = report.run_over(model, report.reconstruct_means, split)["x"]
    _write(figure, made, out or run / "figures" / "reconstructions.png")


def interpolate(run: Path, first: int, last: int, steps: int, out: Path | None) -> None:
    """Draw an interpolation."""
    model, dataset, _ = open_run(run)
    _check_index("--first", first, dataset.test)
    _check_index("--last", last, dataset.test)
    figure = report.draw_interpolations(model, dataset.test, [(first, last)], steps)
    _write(figure, None, out or run / "figures" / "interpolations.png")


def traverse(
    run: Path,
    example: int,
    dims: tuple[int, ...] | None,
    range_vals: tuple[float, float],
    steps: int,
    out: Path | None,
) -> None:
    """Draw traversals."""
    model, dataset, _ = open_run(run)
    _check_index("--example", example, dataset.test)
    if dims is not None and not dims:
        raise ValueError("--dims is empty: name at least one latent, or leave it out")
    figure = report.draw_traversals(
        model, dataset.test, example=example, dims=dims, range_vals=range_vals, steps=steps
    )
    _write(figure, None, out or run / "figures" / "traversals.png")


def evaluate(run: Path, data: str | None, split: str) -> None:
    """Print the losses."""
    model, dataset, options = open_run(run, data)
    part = dataset.splits[checks.one_of("--split", split, dataset.splits)]
    trainer = Trainer(model, batch_size=options["batch_size"], seed=options["seed"])
    console.print(metrics_table(trainer.evaluate(part), f"{split}, {len(part):,} examples"))


def _check_index(name: str, index: int, split: Split) -> None:
    if not 0 <= index < len(split):
        raise ValueError(f"{name} {index}: expected 0 <= index < {len(split)} (test examples)")


def _write(figure: Figure, arrays: np.ndarray | None, path: Path) -> None:
    if path.suffix == ".png":
        save(figure, path)
    elif arrays is None or path.suffix not in (".npy", ".npz"):
        kinds = ".png" if arrays is None else ".png, .npy or .npz"
        raise ValueError(f"--out {path}: expected a name that ends in {kinds}")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, arrays)
        else:
            np.savez_compressed(path, x=arrays)
    say(str(path))
