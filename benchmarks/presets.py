"""Every preset on 5,000 MNIST digits: reconstruction, bounds, samples, and time of a step.

    python benchmarks/presets.py [--only vae iwae] [--seeds 3] [--steps 1000] [--data mnist5k]

Each model is the one that `workshop train --model NAME --encoder-type dense --hidden-dims 256`
builds. The table is printed row by row and written to PRESETS.md, where rows of presets that are
not among --only stay; with --sheets, samples of each preset go to FOLDER/NAME.png. The Fréchet
distance is that of features of a small classifier of the training data. `perceptual-vae` needs a
network's file and is left out.
"""

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from workshop.cli.options import Start, default_config
from workshop.generative_models.core.configuration.presets import PRESETS
from workshop.generative_models.data import Dataset, load_dataset
from workshop.generative_models.evaluation.bounds import elbo, importance_weighted_bound
from workshop.generative_models.evaluation.samples import classifier_features, frechet_distance
from workshop.generative_models.models.saving import build_model
from workshop.generative_models.training import Trainer
from workshop.generative_models.visualization import grids
from workshop.generative_models.visualization.files import save

COLUMNS = ("reconstruction", "ELBO", "bound of 100 samples", "Fréchet distance", "ms a step")
WARM = 100
"""Steps before those that are timed, which compile."""


def measured(name: str, dataset: Dataset, features: Any, seed: int, options: Any) -> list[Any]:
    """Return the columns of a trained model, None where it has no such figure."""
    start = Start(
        model=name,
        data=options.data,
        steps=options.steps,
        encoder_type="dense",
        hidden_dims=options.hidden_dims,
    )
    config = default_config(start)
    model = build_model(PRESETS[name].model, config, rngs=nnx.Rngs(seed))
    trainer = Trainer(model, seed=seed, progress=False)
    trainer.fit(dataset, steps=WARM)
    begun = time.perf_counter()
    trainer.fit(dataset, steps=options.steps - WARM)
    step = 1e3 * (time.perf_counter() - begun) / (options.steps - WARM)
    model.eval()
    test = dataset.test
    y = {"y": test.y} if model.conditional else {}
    losses = trainer.evaluate(test)
    bounded = model.has_density and not model.has_codes
    lower = float(elbo(model, test.x, **y).mean()) if model.has_density else None
    some = {name: labels[: options.examples] for name, labels in y.items()}
    bound = None
    if bounded:
        found = importance_weighted_bound(model, test.x[: options.examples], samples=100, **some)
        bound = float(found.mean())
    samples = np.asarray(model.sample(len(test), rngs=nnx.Rngs(seed)))
    distance = frechet_distance(features(test.x), features(samples))
    if seed == 0 and options.sheets is not None:
        options.sheets.mkdir(parents=True, exist_ok=True)
        save(grids.samples(samples[:64]), options.sheets / f"{name}.png")
    return [losses["reconstruction_loss"], lower, bound, distance.value, step]


def cell(values: list[Any]) -> str:
    """Return the mean and the standard deviation over seeds."""
    if any(value is None for value in values):
        return "–"
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2f} ± {spread:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [name for name in PRESETS if name != "perceptual-vae"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--data", default="mnist5k")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--hidden-dims", nargs="+", type=int, default=[256])
    parser.add_argument("--examples", type=int, default=200, help="of the bound")
    parser.add_argument("--sheets", type=Path, help="folder for a sheet of samples of each preset")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("PRESETS.md"))
    options = parser.parse_args()
    dataset = load_dataset(options.data)
    features = classifier_features(dataset.train.x, dataset.train.y)
    head = (
        f"# Presets on {options.data}\n\nA run of `python benchmarks/presets.py`: "
        f"dense networks with layers of {', '.join(map(str, options.hidden_dims))}, "
        f"{options.steps:,} steps, mean ± standard deviation of {options.seeds} seeds, test data, "
        f"nats per example; time on {len(os.sched_getaffinity(0))} core(s).\n\n"
        f"| preset | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}\n"
    )
    print(head, end="")
    for name in options.only:
        runs = [measured(name, dataset, features, seed, options) for seed in range(options.seeds)]
        cells = " | ".join(cell(list(each)) for each in zip(*runs, strict=True))
        # Read again: another process may have added other presets.
        lines = kept(options.out, head) | {name: f"| `{name}` | {cells} |\n"}
        print(lines[name], end="", flush=True)
        options.out.write_text(head + "".join(lines[name] for name in PRESETS if name in lines))


def kept(path: Path, head: str) -> dict[str, str]:
    """Return the rows of an earlier run with the same options, by preset."""
    if not path.exists() or not path.read_text().startswith(head):
        return {}
    rows = path.read_text().removeprefix(head).splitlines(keepends=True)
    return {row.split("`")[1]: row for row in rows}


if __name__ == "__main__":
    main()
