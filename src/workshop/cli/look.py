"""Commands that look at a trained run: samples, reconstructions, paths, figures of merit."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import workshop
from workshop.cli.runs import compile_once, open_run, read_options, refuse_overwriting
from workshop.cli.tables import say
from workshop.generative_models.core import checks
from workshop.generative_models.core.files import replacing
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation import outputs
from workshop.generative_models.models.saving import read_config
from workshop.generative_models.visualization import report, save


def sample(
    run: Path,
    count: int,
    temperature: float,
    label: str | None,
    guidance: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    out: Path | None,
    *,
    observation_noise: bool,
) -> None:
    """Draw samples."""
    compile_once()
    model = workshop.load(run)
    if label is not None and model.num_classes is None:
        hint = " (a prior that is fitted to labels has)" if model.has_codes else ""
        raise ValueError(f"--label {label}: a {read_config(run)['model']} has no classes{hint}")
    if guidance != 1 and (model.code_prior is None or model.num_classes is None):
        raise ValueError(f"--guidance {guidance} is for a prior over codes that knows classes")
    for name, given in (("--top-k", top_k), ("--top-p", top_p)):
        if given is not None and model.code_prior is None:
            raise ValueError(f"{name} {given} is for a prior over codes (workshop prior RUN)")
    labels = None if label is None else np.full(count, _class_of(run, label))
    figure, samples = report.draw_samples(
        model,
        count,
        temperature=temperature,
        labels=labels,
        guidance=guidance,
        seed=seed,
        observation_noise=observation_noise,
        top_k=top_k,
        top_p=top_p,
    )
    _write(figure, samples, out or run / "figures" / "samples.png")


def _class_of(run: Path, label: str, option: str = "--label") -> int:
    """Return the number of a class that is given by its name, or else by its number."""
    names = read_config(run).get("classes") or []
    if label.isdecimal() and label not in names:
        return int(label)
    if not names:
        raise ValueError(f"{option} {label}: this run's classes have no names; give a number")
    return names.index(checks.one_of(option, label, names))


def reconstruct(
    run: Path, data: str | None, count: int, out: Path | None, *, observation_noise: bool
) -> None:
    """Draw reconstructions."""
    refuse_overwriting(out, data or read_options(run)[1]["data"])
    model, dataset, _ = open_run(run, data)
    split = dataset.test.take(slice(checks.positive_int("--count", count)))
    drawn = report.drawn_reconstructions(model, split) if observation_noise else None
    figure = report.draw_reconstructions(model, split, count, dataset.class_names, drawn)
    made = outputs.reconstructions(model, split)["x"] if drawn is None else drawn
    _write(figure, made, out or run / "figures" / "reconstructions.png")


def interpolate(
    run: Path,
    data: str | None,
    first: int,
    last: int,
    steps: int,
    labels: tuple[str, str] | None,
    out: Path | None,
) -> None:
    """Draw an interpolation."""
    model, dataset, _ = open_run(run, data)
    if labels is not None and not model.conditional:
        kind = read_config(run)["model"]
        raise ValueError(f"--labels {' '.join(labels)}: a {kind} decodes without a class")
    classes = None
    if labels is not None:
        classes = _class_of(run, labels[0], "--labels"), _class_of(run, labels[1], "--labels")
    _check_index("--first", first, dataset.test)
    _check_index("--last", last, dataset.test)
    figure = report.draw_interpolations(model, dataset.test, [(first, last)], steps, classes)
    _write(figure, None, out or run / "figures" / "interpolations.png")


def traverse(
    run: Path,
    data: str | None,
    example: int,
    dims: tuple[int, ...] | None,
    range_vals: tuple[float, float],
    steps: int,
    out: Path | None,
) -> None:
    """Draw traversals."""
    model, dataset, _ = open_run(run, data)
    _check_index("--example", example, dataset.test)
    if dims is not None and not dims:
        raise ValueError("--dims is empty: name at least one latent, or leave it out")
    figure = report.draw_traversals(
        model, dataset.test, example=example, dims=dims, range_vals=range_vals, steps=steps
    )
    _write(figure, None, out or run / "figures" / "traversals.png")


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
        write_arrays(path, {"x": arrays})
    say(str(path))


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays to a .npz file, or the only one to a .npy file, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        if path.suffix == ".npy":
            (array,) = arrays.values()
            np.save(file, array)
        else:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
