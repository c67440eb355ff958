"""`workshop train`: data and a model by name in, a run folder out."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from rich.markup import escape
from rich.table import Table

from workshop.cli.options import TrainOptions
from workshop.cli.runs import (
    check_there,
    check_unchanged,
    compile_once,
    load_data,
    read_options,
    whole_name,
    write_run_record,
)
from workshop.cli.starting import kept_options, training_of
from workshop.cli.tables import (
    console,
    folding_table,
    say,
    say_section,
    say_verdicts,
    suggested,
)
from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.presets import PRESETS
from workshop.generative_models.core.files import LOCK_FILE, locked
from workshop.generative_models.core.metrics import METRICS, metric_of
from workshop.generative_models.data import Dataset, Split
from workshop.generative_models.evaluation.outputs import code_indices
from workshop.generative_models.models.restoring import checkpoint_steps
from workshop.generative_models.models.saving import (
    WEIGHTS_FILE,
    build_model,
    read_config,
    save_config,
    save_weights,
)
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.training import (
    Callback,
    Stopped,
    TensorBoard,
    Trainer,
    create_trainer,
    distributed,
    learning_rate_schedule,
)


def train(options: TrainOptions, *, moved_to: str | None = None, steps: int | None = None) -> None:
    """Train a model, or continue a run, and write its folder.

    A run that continues reads its data from `moved_to` and trains to `steps`, if they are given.
    """
    compile_once()
    _join(options)
    first = jax.process_index() == 0
    if options.resume is None:
        folder = _new_folder(options) if first else _shared_folder(options)
    else:
        folder = options.resume
        read_config(folder)  # refused before a lock is left in a folder that is no run
    try:
        with locked(folder) if first else contextlib.nullcontext():
            if options.resume is None:
                if first:
                    _refuse_full(folder)
                name = PRESETS[options.model].model
                config, settings = options.config, _settings(options)
            else:
                name, config, settings = _saved_settings(folder, moved_to, steps)
            distributed.wait("the run folder is chosen")
            _train(folder, name, config, settings, options)
    except Stopped as stop:
        say(f"{stop}\ncontinue with: {suggested('train', '--resume', folder)}")
        raise SystemExit(128 + stop.signal) from None
    except Exception:
        with contextlib.suppress(OSError):  # if nothing is in it, nothing began
            folder.rmdir()
            if options.out is None:
                folder.parent.rmdir()
        raise


def _train(
    folder: Path, name: str, config: Any, settings: dict[str, Any], options: TrainOptions
) -> None:
    """Train to the last step, save the model, and show what came out."""
    resume, first = options.resume is not None, jax.process_index() == 0
    if resume:
        check_there(folder, settings["data"])
    dataset = load_data(settings["data"], settings)
    if resume:
        check_unchanged(folder, dataset, settings["data"])
    model = build_model(name, config, rngs=nnx.Rngs(settings["seed"]))
    _check_classes(model, dataset)
    trainer = _trainer(model, settings, folder, dataset, options.progress)
    if first:
        say(f"{name if resume else options.model} on {dataset}\nrun folder: {folder}")
    rows = trainer.fit(dataset, steps=settings["steps"], resume=resume)
    metrics = trainer.evaluate(dataset.test)
    if not first:
        return
    save_weights(model, folder, step=max(checkpoint_steps(folder)))
    _show(folder, model, dataset, rows, metrics, settings)


def _show(
    folder: Path,
    model: VAE,
    dataset: Dataset,
    rows: list[dict[str, Any]],
    metrics: dict[str, float],
    settings: dict[str, Any],
) -> None:
    """Draw the figures of a trained model, and print its metrics."""
    # They take seconds to import, which the first step need not wait for, nor all models.
    from workshop.generative_models.visualization.report import run_figures, save_figures

    with console.status("drawing figures"):
        figures = run_figures(model, dataset.test, rows, dataset.class_names, settings["seed"])
        save_figures(figures, folder / "figures")
    console.print(_metrics_table(model, metrics, f"test, {len(dataset.test):,} examples"))
    longer = suggested("train", "--resume", folder, "--steps", 2 * settings["steps"])
    say_verdicts(_independent(model, dataset, longer))
    if model.has_codes:
        from workshop.generative_models.evaluation.sections import codes_section
        from workshop.generative_models.evaluation.study import Study

        codes = codes_section(Study(model, dataset.train, dataset.test))
        say_section(codes)
        say_verdicts(codes.verdicts)
    else:
        say_verdicts(_collapsed(model, dataset))
    say(f"figures: {folder / 'figures'}")


def _saved_settings(
    folder: Path, moved_to: str | None, steps: int | None
) -> tuple[str, Any, dict[str, Any]]:
    """Return the model's name, its configuration and the options of a run that continues."""
    if "training" not in read_config(folder):
        raise ValueError(
            f"--resume {folder}: `workshop train` did not make it, so nothing says how"
        )
    content, settings = read_options(folder)
    done = max(checkpoint_steps(folder), default=0)
    if (folder / WEIGHTS_FILE).exists() and not done:
        raise ValueError(f"{folder} holds a trained model, but no checkpoint to continue from")
    if moved_to is not None:
        settings["data"] = whole_name(moved_to)
    before = settings["steps"]
    if steps is not None:
        if checks.positive_int("--steps", steps) < done:
            raise ValueError(
                f"--steps {steps}: the run in {folder} has taken {done:,} steps already. --steps "
                f"is the total, so pass more, such as --steps {2 * done}"
            )
        settings["steps"] = steps
    if jax.process_index() == 0:
        for line in _continuation(settings, done, before, folder):
            say(line)
    return content["model"], content["config"], settings


def _continuation(settings: dict[str, Any], done: int, before: int, folder: Path) -> Iterator[str]:
    """Yield what to know of a run that continues: its number of steps, and its schedule."""
    steps, schedule = settings["steps"], settings["schedule"]
    if done == steps:
        more = suggested("train", "--resume", folder, "--steps", 2 * steps)
        yield f"all {steps:,} steps are done; to train for longer: {more}"
    if steps == before:
        return
    yield f"trains to step {steps:,} in all (before: {before:,})"
    if schedule == "constant":
        return
    old, new = (float(_rate(settings | {"steps": n})(done)) for n in (before, steps))
    yield (
        f"the {schedule} schedule of the learning rate now ends at step {steps:,}: at step "
        f"{done:,} the rate is {new:.3g} instead of {old:.3g}"
    )


def _rate(settings: dict[str, Any]) -> Callable[[int], Any]:
    return learning_rate_schedule(
        settings["schedule"], settings["learning_rate"], settings["steps"],
        warmup_steps=settings["warmup_steps"], final=settings["final_rate"],
    )  # fmt: skip


def _collapsed(model: VAE, dataset: Dataset) -> list[str]:
    """Return a sentence if hardly a latent says anything of the examples."""
    from workshop.generative_models.evaluation.latents import active_units, collapse
    from workshop.generative_models.evaluation.outputs import posteriors

    if len(dataset.test) < 2:
        return []
    verdict = collapse(active_units(posteriors(model, _some(dataset.test))["mean"]))
    return [] if verdict is None else [verdict]


def _independent(model: VAE, dataset: Dataset, longer: str) -> list[str]:
    """Return a sentence if reconstructions do not depend on the input."""
    from workshop.generative_models.evaluation.samples import dependence_of, dependence_verdict

    try:
        figures = dependence_of(model, _some(dataset.test))
    except ValueError:  # too few examples, or all alike
        return []
    verdict = dependence_verdict(figures, model, longer)
    return [] if verdict is None else [verdict]


def _some(split: Split, most: int = 1000) -> Split:
    """Return examples from all over a split, which may lie in the order of its classes."""
    return split.take(np.sort(np.random.default_rng(0).permutation(len(split))[:most]))


def _metrics_table(model: VAE, metrics: dict[str, float], title: str) -> Table:
    """Return metrics as a table: means over examples, those that the package knows first."""
    table = folding_table("metric", "value", "unit", title=title)
    table.columns[1].justify = "right"
    order = [name for name in METRICS if name in metrics]
    for name in [*order, *sorted(metrics.keys() - set(order))]:
        metric = metric_of(name, model.metrics)
        table.add_row(escape(metric.label), f"{metrics[name]:.3f}", escape(metric.unit))
    return table


def _trainer(
    model: VAE, settings: dict[str, Any], folder: Path, dataset: Dataset, progress: bool
) -> Trainer:
    callbacks: list[Callback] = [_Begin(model, folder, settings, dataset)]
    if model.has_codes:
        callbacks.append(_Collapse(dataset))
    if settings["tensorboard"] and jax.process_index() == 0:
        callbacks.append(TensorBoard(folder / "tensorboard", lambda m: _pictures(m, dataset)))
    return create_trainer(
        model, training_of(settings), folder=folder, callbacks=callbacks, progress=progress
    )


class _Begin(Callback):
    """Write the run's configuration and the record of its data once training starts."""

    def __init__(self, model: VAE, folder: Path, settings: dict[str, Any], dataset: Dataset):
        self.model, self.folder, self.settings = model, folder, settings
        self.dataset: Dataset = dataset

    def on_start(self, step: int) -> None:
        if jax.process_index() > 0:
            return
        names = self.dataset.class_names
        classes = None if names is None else list(names)
        save_config(self.model, self.folder, training=self.settings, classes=classes)
        write_run_record(self.folder, self.dataset, self.settings["data"])
        if step:
            say(f"continues from step {step:,}")


class _Collapse(Callback):
    """Name a codebook that has collapsed, at the first evaluation that finds it so."""

    def __init__(self, dataset: Dataset):
        self.dataset: Dataset = dataset
        self.named: set[str] = set()

    def on_evaluation(self, step: int, model: Any) -> None:
        if jax.process_index() > 0:
            return
        codes = code_indices(model, _some(self.dataset.validation))
        from workshop.generative_models.evaluation.latents import codebook_healths, collapses

        found = collapses(model.quantizer, codebook_healths(model.quantizer, codes))
        for name in found.keys() - self.named:
            self.named.add(name)
            say(f"step {step:,}, {name.replace('_', ' ')}: {found[name]}")


def _join(options: TrainOptions) -> None:
    if options.join or options.coordinator is not None:
        distributed.join(options.coordinator, options.processes, options.process)
    elif (options.processes, options.process) != (None, None):
        raise ValueError("--processes and --process need --coordinator HOST:PORT, or --join")


def _pictures(model: VAE, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return what a tracker shows of a model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from workshop.generative_models.visualization.report import draw_reconstructions

    split = dataset.validation.take(slice(24))
    figure = draw_reconstructions(model, split, 24, dataset.class_names)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return {"reconstructions": np.asarray(canvas.buffer_rgba())[..., :3]}


def _settings(options: TrainOptions) -> dict[str, Any]:
    """Return the options that a resumed run needs, as JSON holds them."""
    return json.loads(json.dumps(kept_options(options) | {"data": whole_name(options.data)}))


def _shared_folder(options: TrainOptions) -> Path:
    if options.out is None:
        raise ValueError("--out is missing: several processes need a folder that all of them name")
    return options.out


def _new_folder(options: TrainOptions) -> Path:
    if jax.process_count() > 1:
        _shared_folder(options)
    if options.out is not None:
        if options.out.exists() and not options.out.is_dir():
            raise ValueError(f"--out {options.out} is a file: choose another name")
        options.out.mkdir(parents=True, exist_ok=True)
        return options.out
    data = Path(options.data.removeprefix("hf:").split("?")[0]).stem
    first = Path("runs") / f"{data}-{options.model}"
    numbered = (first.with_name(f"{first.name}-{i}") for i in range(2, 10_000))
    for folder in (first, *numbered):
        with contextlib.suppress(FileExistsError):  # also when two start together
            folder.mkdir(parents=True)
            return folder
    raise ValueError("there are 10,000 runs of that name in runs: pass --out")


def _refuse_full(folder: Path) -> None:
    """Refuse a folder that holds something else than the lock of this process."""
    if any(path.name != LOCK_FILE for path in folder.iterdir()):
        raise ValueError(
            f"--out {folder} is not empty: choose another folder, or continue that run with "
            f"{suggested('train', '--resume', folder)}"
        )


def _check_classes(model: VAE, dataset: Dataset) -> None:
    classes = model.num_classes
    if classes is not None and dataset.num_classes is not None and classes < dataset.num_classes:
        raise ValueError(f"--condition-dim {classes}: the data has {dataset.num_classes} classes")
