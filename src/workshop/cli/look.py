"""Commands that draw from a trained run: samples, reconstructions, interpolations, traversals."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import workshop
from workshop.cli.commands import Interpolate, Reconstruct, Sample, Traverse
from workshop.cli.runs import compile_once, open_run, read_options, refuse_overwriting
from workshop.cli.tables import say
from workshop.generative_models.core import checks
from workshop.generative_models.core.files import replacing
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation import outputs
from workshop.generative_models.models.saving import read_config
from workshop.generative_models.visualization import report, save


def sample(options: Sample) -> None:
    """Draw samples."""
    compile_once()
    run, label = options.run, options.label
    model = workshop.load(run)
    if label is not None and model.num_classes is None:
        hint = " (a prior that is fitted to labels has)" if model.has_codes else ""
        raise ValueError(f"--label {label}: a {read_config(run)['model']} has no classes{hint}")
    if options.guidance != 1 and (model.code_prior is None or model.num_classes is None):
        raise ValueError(
            f"--guidance {options.guidance} is for a prior over codes that knows classes"
        )
    for name, given in (("--top-k", options.top_k), ("--top-p", options.top_p)):
        if given is not None and model.code_prior is None:
            raise ValueError(f"{name} {given} is for a prior over codes (workshop prior RUN)")
    figure, samples = report.draw_samples(
        model,
        options.count,
        temperature=options.temperature,
        labels=None if label is None else np.full(options.count, _class_of(run, label)),
        guidance=options.guidance,
        seed=options.seed,
        observation_noise=options.observation_noise,
        top_k=options.top_k,
        top_p=options.top_p,
    )
    _write(figure, samples, options.out or run / "figures" / "samples.png")


def _class_of(run: Path, label: str, option: str = "--label") -> int:
    """Return the number of a class that is given by its name, or else by its number."""
    names = read_config(run).get("classes") or []
    if label.isdecimal() and label not in names:
        return int(label)
    if not names:
        raise ValueError(f"{option} {label}: this run's classes have no names; give a number")
    return names.index(checks.one_of(option, label, names))


def reconstruct(options: Reconstruct) -> None:
    """Draw reconstructions."""
    run, out = options.run, options.out
    refuse_overwriting(out, options.data or read_options(run)[1]["data"])
    model, dataset, _ = open_run(run, options.data)
    split = dataset.test.take(slice(checks.positive_int("--count", options.count)))
    drawn = report.drawn_reconstructions(model, split) if options.observation_noise else None
    figure = report.draw_reconstructions(model, split, options.count, dataset.class_names, drawn)
    made = outputs.reconstructions(model, split)["x"] if drawn is None else drawn
    _write(figure, made, out or run / "figures" / "reconstructions.png")


def interpolate(options: Interpolate) -> None:
    """Draw an interpolation."""
    run, labels = options.run, options.labels
    model, dataset, _ = open_run(run, options.data)
    if labels is not None and not model.conditional:
        kind = read_config(run)["model"]
        raise ValueError(f"--labels {' '.join(labels)}: a {kind} decodes without a class")
    classes = labels and (
        _class_of(run, labels[0], "--labels"),
        _class_of(run, labels[1], "--labels"),
    )
    ends = options.first, options.last
    for name, index in zip(("--first", "--last"), ends, strict=True):
        _check_index(name, index, dataset.test)
    figure = report.draw_interpolations(model, dataset.test, [ends], options.steps, classes)
    _write(figure, None, options.out or run / "figures" / "interpolations.png")


def traverse(options: Traverse) -> None:
    """Draw traversals."""
    model, dataset, _ = open_run(options.run, options.data)
    _check_index("--example", options.example, dataset.test)
    if options.dims is not None and not options.dims:
        raise ValueError("--dims is empty: name at least one latent, or leave it out")
    figure = report.draw_traversals(
        model,
        dataset.test,
        example=options.example,
        dims=options.dims,
        range_vals=options.range,
        steps=options.steps,
    )
    _write(figure, None, options.out or options.run / "figures" / "traversals.png")


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
