"""Commands that measure: the evaluation of a run, runs side by side, scores of single examples."""

import csv
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

import workshop
from workshop.cli.commands import Compare, Evaluate, Score
from workshop.cli.progress import INTERRUPTED, Interrupts
from workshop.cli.runs import (
    as_trained,
    check_shape,
    compile_once,
    every_example,
    is_own_data,
    load_run_data,
    open_run,
    read_options,
    refuse_overwriting,
)
from workshop.cli.tables import console, folding_table, say, say_section, say_verdicts
from workshop.generative_models.core import checks
from workshop.generative_models.core.files import locked, replacing, write_json, write_text
from workshop.generative_models.core.metrics import metric_of
from workshop.generative_models.data import Dataset, Split, sprites
from workshop.generative_models.evaluation import bounds, outputs, summary
from workshop.generative_models.evaluation.comparison import Compared, compare
from workshop.generative_models.evaluation.detection import detection
from workshop.generative_models.evaluation.passes import CutShort
from workshop.generative_models.evaluation.samples import (
    FeatureFunction,
    inception_features,
    nearest_training_neighbours,
)
from workshop.generative_models.evaluation.sections import Section
from workshop.generative_models.evaluation.study import Settings, Study
from workshop.generative_models.models.restoring import load_run, unfinished
from workshop.generative_models.models.saving import read_config
from workshop.generative_models.tracking.loggers import read_rows
from workshop.generative_models.visualization import grids, report
from workshop.generative_models.visualization.evaluation import comparison_page, run_page, shown


def evaluate(options: Evaluate) -> None:
    """Print the figures of a run, and write them as JSON and as a page."""
    for name, least in (("samples", 1), ("examples", 2), ("annealed", 0), ("generated", 10),
                        ("factor_examples", 100), ("points", 10)):  # fmt: skip
        checks.at_least(f"--{name.replace('_', '-')}", getattr(options, name), least)
    given = vars(options)
    settings = Settings(**{f.name: given[f.name] for f in fields(Settings) if f.name in given})
    run, data, features = options.run, options.data, options.features
    if features is not None and options.quick:
        raise ValueError("--features with --quick, which leaves out samples: leave out one of them")
    functions = _feature_functions(features)
    model, dataset, trained = open_run(run, data)
    split = checks.one_of("--split", options.split, dataset.splits)
    folder = options.out or run
    other = data is not None and "training" in read_config(run) and not is_own_data(run, dataset)
    if other and options.out is None:
        raise ValueError("--data without --out: RUN/evaluation.json is of the run's own data")
    stem = "evaluation" if split == "test" else f"evaluation-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    interrupts = Interrupts(console)
    drawn = (data or trained["data"]) == "sprites" and dataset.shape == sprites.IMAGE_SHAPE
    study = Study(
        model, dataset.train, dataset.splits[split], settings, sprites if drawn else None,  # type: ignore[arg-type]
        interrupts.progress, interrupts.cuttable, held_out=split != "train",
        run=shlex.quote(str(run)), more=str(2 * trained["steps"]), features=functions,
    )  # fmt: skip
    if functions and not study.shows_images:
        raise ValueError(
            f"--features {features}: the examples have shape {study.test.shape}: expected images "
            "with values in [0, 1]"
        )
    about = _about(run, dataset, split, len(study.test))
    with locked(folder, f"{stem}.json.lock"):
        found = _measure(study, interrupts, about, folder / f"{stem}.json", quick=options.quick)
        if not options.quick:
            page = folder / ("report.html" if split == "test" else f"report-{split}.html")
            _write_page(page, run, study, dataset, found, about)
    if interrupts.cut is not None:
        raise SystemExit(INTERRUPTED)


def _feature_functions(given: str | None) -> dict[str, FeatureFunction]:
    """Return the further features to compare samples in, by name."""
    if given is None:
        return {}
    name, _, file = given.partition("=")
    if name != "inception" or not file:
        raise ValueError(f"--features {given}: expected inception=FILE")
    function = inception_features(file)
    return {name: lambda x: function(np.clip(x, 0, 1))}


def _measure(
    study: Study, interrupts: Interrupts, about: dict[str, Any], file: Path, *, quick: bool
) -> dict[str, Section]:
    """Return the sections of an evaluation, each printed and written as soon as it is done."""
    found: dict[str, Section] = {}

    def write() -> None:
        about["cut_short"] = interrupts.cut
        write_json(summary.as_json(found, study, **about), file, allow_nan=False)

    try:
        for name, section in summary.evaluate(study, quick=quick):
            found[name] = section
            write()
            say_section(section)
            if interrupts.cut is not None:
                break
    except (KeyboardInterrupt, CutShort):
        if interrupts.cut is not None or not found:
            raise KeyboardInterrupt from None
        interrupts.cut = f"cut short after the section {list(found.values())[-1].title}"
        write()
    verdicts = [verdict for section in found.values() for verdict in section.verdicts]
    say_verdicts(verdicts)
    if interrupts.cut is not None:
        say(f"{interrupts.cut}; the sections after it are missing")
    elif not verdicts:
        say("none of the checks found anything; they do not know what the model is for")
    say(str(file))
    return found


def _write_page(
    page: Path,
    run: Path,
    study: Study,
    dataset: Dataset,
    found: dict[str, Section],
    about: dict[str, Any],
) -> None:
    """Draw the figures, and write the page."""
    kinds = ", ".join(f"{name} {kind}" for name, kind in study.model.kinds.items())
    title = f"{about['model']} on {dataset}, {about['data']['split']} examples"
    lines = [title, kinds, about["device"]]
    if about["checkpoint"] is not None:
        lines.append(f"the model is that of the checkpoint of {about['checkpoint']}")
    if about["cut_short"] is not None:
        lines.append(f"{about['cut_short']}; the sections after it are missing")
    with console.status("drawing figures"):
        figures = _figures(run, study, dataset)
        text = run_page(
            f"Evaluation of {run.name}", found, figures, about=lines, command=about["command"]
        )
    write_text(text, page)
    say(f"{page}: open it in a browser")


def _about(run: Path, dataset: Dataset, split: str, examples: int) -> dict[str, Any]:
    """Return where an evaluation comes from."""
    return {
        "command": _command(),
        "version": workshop.__version__,
        "run": str(run),
        "model": read_config(run)["model"],
        "checkpoint": unfinished(run),
        "data": {"name": dataset.name, "split": split, "examples": examples}
        | ({"notes": list(dataset.notes)} if dataset.notes else {}),
        "device": f"jax {jax.__version__}, {jax.devices()[0].device_kind}",
    }


def _command() -> str:
    """Return the command that is running, as it could be typed again."""
    return shlex.join(["workshop", *sys.argv[1:]])


def _figures(run: Path, study: Study, dataset: Dataset) -> Iterator[tuple[str, Figure]]:
    rows = read_rows(run / "metrics.jsonl")
    yield from report.run_figures(
        study.model, study.test, rows, dataset.class_names, study.settings.seed
    )
    if not study.held_out:
        return
    some, train = study.samples[:24], study.pixels_of(study.searched(study.train))
    nearest = nearest_training_neighbours(some, train).indices
    title = "Samples above their nearest training examples"
    yield (
        "neighbours",
        grids.reconstructions(some, train[nearest], title=title, names=("Sample", "Nearest")),
    )


def compare_runs(options: Compare) -> None:
    """Print the evaluations of runs side by side."""
    runs, out = options.runs, options.out
    if out is not None and out.suffix != ".html":
        raise ValueError(f"--out {out}: expected a name that ends in .html")
    found = [summary.read(run / "evaluation.json") for run in runs]
    rows, names = compare(found), [str(run) for run in runs]
    titles: dict[str, str] = {}
    for evaluation in found:
        titles |= evaluation["titles"]
    for section, group in groupby(rows, key=lambda row: row.section):
        console.print(_side_by_side(titles[section], list(group), names))
    console.print("[bold green]best[/], with those within two standard errors of it")
    for key, what in (("data", "on different data"), ("likelihood", "under different likelihoods")):
        if len({evaluation["basis"][key] for evaluation in found}) > 1:
            say(f"these runs were evaluated {what}: figures that this changes have no best one")
    for name, evaluation in zip(names, found, strict=True):
        if evaluation.get("cut_short") is not None:
            say(f"{name}: {evaluation['cut_short']}; the sections after it are missing")
    if out is not None:
        write_text(comparison_page(rows, names, titles, command=_command()), out)
        say(str(out))


def _side_by_side(title: str, rows: Sequence[Compared], names: Sequence[str]) -> Table:
    table = folding_table("figure", *map(escape, names), title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        cells = [escape(shown(figure)) for figure in row.figures]
        marked = [f"[bold green]{c}[/]" if i in row.best else c for i, c in enumerate(cells)]
        table.add_row(escape(metric_of(row.name).label) + ("" if row.alike else " †"), *marked)
    if not all(row.alike for row in rows):
        table.caption = "† not of the same kind, so not compared"
    return table


def score(options: Score) -> None:
    """Write the scores of single examples."""
    checks.positive_int("--samples", options.samples)
    checks.at_least("--bound", options.bound, 0)
    run, data, out = options.run, options.data, options.out
    if out.suffix != ".csv":
        raise ValueError(f"--out {out}: expected a name that ends in .csv")
    if data is None:
        model, dataset, trained = open_run(run)
        refuse_overwriting(out, trained["data"])
        splits, classes = {"test": dataset.test}, dataset.class_names
    else:
        compile_once()
        refuse_overwriting(out, data)
        content, trained = read_options(run, data)
        model = load_run(run)
        splits, classes = every_example(data, trained, on_disk=True)
        check_shape(data, next(iter(splits.values())).shape, model)
        renumbered = as_trained(model, content, splits, classes, data)
        if renumbered is not splits:
            splits, classes = renumbered, content["classes"]
    chosen = _odd_labels(options.odd, splits, classes)
    if bounds.has_moving_scale(model):
        if "training" not in read_config(run):
            raise ValueError(
                f"{run}: the likelihood's scale is the best one for training data, of which its "
                "config.json says nothing: score it from Python, with fix_scale"
            )
        train = load_run_data(run, trained).train.take(slice(Settings.fitted))
        model = bounds.fix_scale(model, train)
        say("the likelihood's scale is the best one for the run's training examples")
    interrupts = Interrupts(console)
    scored: dict[str, dict[str, np.ndarray]] = {}
    for name, split in splits.items():
        try:
            found = _scores(model, split, options, f"scoring {name}", interrupts)
        except CutShort:
            break
        # A bound that was cut short at once is a column less, which only one split can have.
        if scored and found.keys() != next(iter(scored.values())).keys():
            break
        scored[name] = found
    if not scored:
        raise KeyboardInterrupt
    splits = {name: splits[name] for name in scored}
    _write_scores(out, splits, scored, classes)
    say(f"{sum(len(next(iter(s.values()))) for s in scored.values()):,} examples: {out}")
    if chosen:
        _say_detection(splits, scored, chosen)
    if interrupts.cut is not None:
        raise SystemExit(INTERRUPTED)


def _scores(
    model: Any, split: Split, options: Score, what: str, interrupts: Interrupts
) -> dict[str, np.ndarray]:
    """Return the columns of scores, in nats; all as long as the shortest that was cut short.

    Without a density of q(z|x) there is the reconstruction loss only, at its mean.
    """
    if not model.has_density:
        made = outputs.reconstructions(model, split, progress=interrupts.cuttable(what))
        return {"reconstruction_loss": made["loss"]}
    seed = options.seed
    terms = bounds.elbo_terms(
        model, split, samples=options.samples, seed=seed, progress=interrupts.cuttable(what)
    )
    elbo = -(terms["kl_loss"] + terms["reconstruction_loss"])
    columns = {"elbo": elbo} | {name: terms[name] for name in ("reconstruction_loss", "kl_loss")}
    if options.bound:
        progress = interrupts.cuttable(f"{what}, {options.bound:,} samples")
        with suppress(CutShort):  # then there is no such column
            columns["log_likelihood"] = bounds.importance_weighted_bound(
                model, split, samples=options.bound, seed=seed, progress=progress
            )
    done = min(map(len, columns.values()))
    return {name: column[:done] for name, column in columns.items()}


def _write_scores(
    out: Path,
    splits: dict[str, Split],
    scored: dict[str, dict[str, np.ndarray]],
    classes: Sequence[str] | None,
) -> None:
    first = next(iter(splits.values()))
    columns = list(next(iter(scored.values())))
    known = [n for n, there in (("part", len(splits) > 1), ("name", first.names is not None),
                                ("label", first.y is not None)) if there]  # fmt: skip
    # Names of files are any bytes, whatever the terminal's encoding is.
    kind: Any = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with replacing(out) as temporary, temporary.open("w", **kind) as file:
        writer = csv.writer(file)
        writer.writerow(["index", *known, *columns])
        for part, split in splits.items():
            for i, numbers in enumerate(zip(*scored[part].values(), strict=True)):
                said = {
                    "part": part,
                    "name": split.names[i] if split.names is not None else None,
                    "label": _class_name(int(split.y[i]), classes) if split.y is not None else None,
                }
                writer.writerow([i, *(said[n] for n in known), *(f"{v:.6g}" for v in numbers)])


def _class_name(label: int, classes: Sequence[str] | None) -> str:
    return str(label) if classes is None else classes[label]


def _odd_labels(
    odd: Sequence[str], splits: dict[str, Split], classes: Sequence[str] | None
) -> list[int]:
    """Return the labels that count as odd, by their names or numbers."""
    if not odd:
        return []
    labels = [split.y for split in splits.values()]
    if any(y is None for y in labels):
        raise ValueError(f"--odd {' '.join(odd)}: the data has no labels")
    present = np.unique(np.concatenate([y for y in labels if y is not None])).tolist()
    names = {_class_name(label, classes): label for label in present}
    chosen = [names[checks.one_of("--odd", name, names)] for name in odd]
    if len(set(chosen)) == len(present):
        raise ValueError("--odd names every class: at least one must be normal")
    return chosen


def _say_detection(
    splits: dict[str, Split], scored: dict[str, dict[str, np.ndarray]], odd: list[int]
) -> None:
    """Print how well scores tell odd examples from normal ones."""
    columns = [c for c in next(iter(scored.values())) if c != "kl_loss"]
    is_odd = np.concatenate(
        [
            np.isin(split.y, odd)[: len(scored[name]["reconstruction_loss"])]  # type: ignore[arg-type]
            for name, split in splits.items()
        ]
    )
    table = folding_table("score", "AUROC ± error", "average precision ± error",
                  title=f"{int(is_odd.sum()):,} odd of {len(is_odd):,} examples")  # fmt: skip
    for column in columns:
        values = np.concatenate([part[column] for part in scored.values()])
        values = values if column == "reconstruction_loss" else -values
        figures = detection(values[~is_odd], values[is_odd])
        name = column.replace("_", " ") if column == "reconstruction_loss" else f"-{column}"
        table.add_row(name, str(figures["auroc"]), str(figures["average_precision"]))
    console.print(table)
