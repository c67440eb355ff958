"""The commands and their options. What a command does is imported when it runs: help is quick."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from workshop.generative_models.core.configuration.training import PriorTrainingConfig

Run = tyro.conf.Positional[Path]
_PRIOR_TRAINING = PriorTrainingConfig()


def sample(
    run: Run,
    count: int = 64,
    temperature: float = 1.0,
    label: str | None = None,
    guidance: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    observation_noise: bool = False,
    seed: int = 0,
    out: Path | None = None,
) -> None:
    """Draw samples from a trained model, as a picture or an array.

    Args:
        run: the run folder.
        count: how many.
        temperature: factor on the prior's standard deviation: higher is more varied.
        label: the class, by name or number, for a conditional model or prior; None is all of them.
        guidance: for a prior over codes with classes: above 1 samples are more surely of their
            class, and less varied.
        top_k: for a prior over codes: draw each code among the k most probable ones.
        top_p: for a prior over codes: draw each code among the most probable ones that have this
            probability together.
        observation_noise: draw from p(x|z) instead of showing its mean.
        seed: of the samples.
        out: a .png, .npy or .npz file; None is RUN/figures/samples.png.
    """
    from workshop.cli import look

    look.sample(
        run, count, temperature, label, guidance, top_k, top_p, seed, out,
        observation_noise=observation_noise,
    )  # fmt: skip


def reconstruct(
    run: Run,
    data: str | None = None,
    count: int = 24,
    observation_noise: bool = False,
    out: Path | None = None,
) -> None:
    """Draw examples beside what a trained model makes of them.

    Args:
        run: the run folder.
        data: where the run's data lies now, or other data, of which the test part is used.
        count: how many.
        observation_noise: draw from p(x|z) instead of showing its mean.
        out: a .png, .npy or .npz file; None is RUN/figures/reconstructions.png.
    """
    from workshop.cli import look

    look.reconstruct(run, data, count, out, observation_noise=observation_noise)


def interpolate(
    run: Run,
    data: str | None = None,
    first: int = 0,
    last: int = 1,
    steps: int = 10,
    labels: tuple[str, str] | None = None,
    out: Path | None = None,
) -> None:
    """Draw the way from one test example to another through the latent space.

    Args:
        run: the run folder.
        data: where the run's data lies now, or other data, of which the test part is used.
        first: index of the first example in the test data.
        last: index of the last example.
        steps: number of pictures.
        labels: of a conditional model the classes of both ends, by name or number, between which
            the class is mixed; None keeps that of the first example.
        out: a .png file; None is RUN/figures/interpolations.png.
    """
    from workshop.cli import look

    look.interpolate(run, data, first, last, steps, labels, out)


def traverse(
    run: Run,
    data: str | None = None,
    example: int = 0,
    dims: tuple[int, ...] | None = None,
    range: tuple[float, float] = (-3.0, 3.0),
    steps: int = 11,
    out: Path | None = None,
) -> None:
    """Draw what each latent changes while it alone moves.

    Args:
        run: the run folder.
        data: where the run's data lies now, or other data, of which the test part is used.
        example: index of the test example to start from.
        dims: the latents; None is the ten most active.
        range: first and last value of a latent.
        steps: number of values.
        out: a .png file; None is RUN/figures/traversals.png.
    """
    from workshop.cli import look

    look.traverse(run, data, example, dims, range, steps, out)


def evaluate(
    run: Run,
    data: str | None = None,
    split: str = "test",
    quick: bool = False,
    samples: int = 5000,
    examples: int = 100,
    annealed: int = 0,
    generated: int = 1000,
    factor_examples: int = 2000,
    points: int = 500,
    features: str | None = None,
    seed: int = 0,
    out: Path | None = None,
) -> None:
    """Measure a trained model: tables, evaluation.json, and a page with figures.

    Ctrl-C cuts a long estimate short, and keeps what it has with its error.

    Args:
        run: the run folder.
        data: where the run's data lies now, or other data, which needs --out.
        split: train, validation or test.
        quick: only the ELBO and what the latents or codes hold, in seconds, without a page.
        samples: of z, for the importance-weighted bound.
        examples: how many examples get that bound; the others add their ELBO.
        annealed: how many examples get annealed importance sampling, stricter and slow.
        generated: samples to compare with data.
        factor_examples: examples for metrics of disentanglement, where factors are known.
        points: points of the metrics that intervene on factors.
        features: `inception=FILE` compares samples of images in the features of the Inception
            network too, whose weights are in a safetensors file; it is slow.
        seed: of all draws.
        out: the folder of evaluation.json and report.html; None is the run's.
    """
    from workshop.cli import evaluate as command
    from workshop.generative_models.core import checks

    for name, value, least in (("samples", samples, 1), ("examples", examples, 2),
                               ("annealed", annealed, 0), ("generated", generated, 10),
                               ("factor-examples", factor_examples, 100),
                               ("points", points, 10)):  # fmt: skip
        checks.at_least(f"--{name}", value, least)
    settings = command.Settings(
        samples=samples,
        examples=examples,
        annealed=annealed,
        generated=generated,
        factor_examples=factor_examples,
        points=points,
        seed=seed,
    )
    command.evaluate(run, data, split, settings, features, quick=quick, out=out)


def compare(runs: tyro.conf.Positional[tuple[Path, ...]], out: Path | None = None) -> None:
    """Lay the evaluations of runs side by side, the best of each figure marked.

    Args:
        runs: two run folders or more, each with the evaluation.json of `workshop evaluate`.
        out: an .html file for the tables too.
    """
    from workshop.cli import evaluate as command

    command.compare_runs(runs, out)


def score(
    run: Run,
    data: tyro.conf.Positional[str | None] = None,
    *,
    out: Path,
    odd: tuple[str, ...] = (),
    samples: int = 16,
    bound: int = 0,
    seed: int = 0,
) -> None:
    """Write the ELBO and the reconstruction loss of each example: to find the odd ones.

    Args:
        run: the run folder.
        data: other data than the run's test examples; every example is scored, in its order, and
            read as it is needed.
        out: a .csv file.
        odd: classes that count as odd, by name or number: says how well the scores tell them.
        samples: of z, for each example.
        bound: samples of an importance-weighted bound, the column log_likelihood; 0 is none.
        seed: of the samples.
    """
    from workshop.cli import evaluate as command
    from workshop.generative_models.core import checks

    checks.positive_int("--samples", samples)
    checks.at_least("--bound", bound, 0)
    command.score(run, data, odd, samples, bound, seed, out)


def encode(run: Run, data: tyro.conf.Positional[str | None] = None, *, out: Path) -> None:
    """Write the codes that a trained vq-vae gives images: a tokenizer.

    Args:
        run: the run folder.
        data: other data than the run's own, of which every example is encoded, in its order.
        out: a .npz file: x, or x_train, x_validation and x_test, and what is known of labels (y)
            and file names (names).
    """
    from workshop.cli import codes

    codes.encode(run, data, out)


def decode(run: Run, codes: tyro.conf.Positional[Path], count: int = 64, *, out: Path) -> None:
    """Write the images that codes stand for.

    Args:
        run: the run folder.
        codes: a file that `workshop encode` wrote, or one like it.
        count: how many of the images a .png shows.
        out: a .png, .npy or .npz file.
    """
    from workshop.cli import codes as commands

    commands.decode(run, codes, count, out)


def prior(
    run: Run,
    data: str | None = None,
    training: Annotated[PriorTrainingConfig, tyro.conf.arg(name="")] = _PRIOR_TRAINING,
    layers: int = 4,
    width: int = 128,
    heads: int = 4,
    dropout: float = 0.1,
    resume: bool = False,
    progress: bool = True,
) -> None:
    """Fit what samples the codes of a trained vq-vae: a causal transformer.

    Args:
        run: the run folder; it keeps the prior, which `workshop sample` then draws from.
        data: where the run's data lies now, or other data.
        training: options of the training run.
        layers: blocks of the transformer.
        width: size of its vectors.
        heads: heads of its attention.
        dropout: share of what is dropped out in training.
        resume: go on from the newest checkpoint of a fit that was stopped.
        progress: show a progress bar.
    """
    from workshop.cli import codes
    from workshop.generative_models.core.configuration import PriorConfig

    config = PriorConfig(layers=layers, width=width, heads=heads, dropout=dropout)
    codes.fit_prior(run, data, config, training, resume=resume, progress=progress)


def explore(
    run: Run,
    data: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    open: bool = True,
) -> None:
    """Look into a run on a page in the browser: latents, codes, walks, curves while it trains.

    Nothing leaves this machine: the page works without a network.

    Args:
        run: the run folder; of one that still trains, the page shows its curves until then.
        data: where the run's data lies now, or other data, of which the test part is shown.
        host: address to listen at; any but the default lets others in.
        port: to listen at; 0 takes one that is free.
        open: open the page in a browser.
    """
    if not run.is_dir():  # before what takes seconds to import
        raise ValueError(f"{run} is no run: there is no such folder")
    from workshop.cli.explore import command

    command.explore(run, data, host, port, show=open)


def export(
    run: Run, *, to: Literal["stablehlo", "onnx", "safetensors"], out: Path | None = None
) -> None:
    """Write a trained model as programs that run without this library.

    Encode, decode, reconstruct and sample, for any number of examples. Each is run, and compared
    with the model, before it counts.

    Args:
        run: the run folder.
        to: stablehlo, for JAX and XLA; onnx, for ONNX runtimes (pip install 'workshop-vae[onnx]');
            safetensors, the weights and the configuration alone.
        out: the folder; None is RUN/export/FORMAT.
    """
    from workshop.cli import export as command

    command.export(run, to, out)


def data() -> None:
    """List the data there is."""
    from workshop.cli.tables import console, folding_table
    from workshop.generative_models.data import list_datasets

    # What must be typed, the names of data and of extras, stays on one line at any width.
    table = folding_table("name", "examples", "shape", "classes", "extra", "what it is")
    table.columns[0].no_wrap = table.columns[4].no_wrap = True
    for name, info in list_datasets().items():
        shape = "×".join(map(str, info.shape))
        table.add_row(
            name,
            f"{info.examples:,}",
            shape,
            "" if info.num_classes is None else str(info.num_classes),
            info.extra or "",
            info.description,
        )
    console.print(table)
    console.print(
        "data with an extra needs it: pip install 'workshop-vae\\[EXTRA]'\n"
        "or a path: a .npy or .npz file, or a folder of images (folders inside become classes)\n"
        "or hf:NAME_OR_PATH, a Hugging Face data set (pip install 'workshop-vae\\[hf]')",
        soft_wrap=True,
    )


def train() -> None:
    """Train a model and leave a run folder with its figures."""


COMMANDS: dict[str, Callable[..., Any]] = {
    "train": train,
    "sample": sample,
    "reconstruct": reconstruct,
    "interpolate": interpolate,
    "traverse": traverse,
    "evaluate": evaluate,
    "compare": compare,
    "score": score,
    "encode": encode,
    "decode": decode,
    "prior": prior,
    "explore": explore,
    "export": export,
    "data": data,
}
"""By name; the options of `train` depend on one another, see `app`."""
