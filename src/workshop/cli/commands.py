"""Options of the commands. What runs them is imported when they run, so that help is quick."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.core.configuration.training import PriorTrainingConfig


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model and write a run folder with its figures."""


@dataclass(frozen=True, kw_only=True)
class _OfRun:
    run: tyro.conf.Positional[Path]
    """The run folder."""


@dataclass(frozen=True, kw_only=True)
class _OfRunData(_OfRun):
    data: str | None = None
    """Where the run's data lies now, or other data, of which the test part is used."""


@dataclass(frozen=True, kw_only=True)
class Sample(_OfRun):
    """Draw samples from a trained model, as a picture or an array."""

    count: int = 64
    """Number of samples."""
    temperature: float = 1.0
    """Factor on the prior's standard deviation; a higher one gives more varied samples."""
    label: str | None = None
    """The class, by name or number, for a conditional model or prior; None draws from all."""
    guidance: float = 1.0
    """Classifier-free guidance of a prior over codes with classes: above 1, samples are more
    typical of their class and less varied."""
    top_k: int | None = None
    """For a prior over codes: draw each code from the k most probable ones."""
    top_p: float | None = None
    """For a prior over codes: draw each code from the most probable ones whose probabilities
    add up to this."""
    observation_noise: bool = False
    """Draw from p(x|z) instead of showing its mean."""
    seed: int = 0
    """Seed of the samples."""
    out: Path | None = None
    """A .png, .npy or .npz file; None is RUN/figures/samples.png."""


@dataclass(frozen=True, kw_only=True)
class Reconstruct(_OfRunData):
    """Draw examples next to their reconstructions by a trained model."""

    count: int = 24
    """Number of examples."""
    observation_noise: bool = False
    """Draw from p(x|z) instead of showing its mean."""
    out: Path | None = None
    """A .png, .npy or .npz file; None is RUN/figures/reconstructions.png."""


@dataclass(frozen=True, kw_only=True)
class Interpolate(_OfRunData):
    """Draw an interpolation in latent space between two test examples."""

    first: int = 0
    """Index of the first example in the test data."""
    last: int = 1
    """Index of the last example."""
    steps: int = 10
    """Number of pictures."""
    labels: tuple[str, str] | None = None
    """For a conditional model, the classes of both ends, by name or number, which are mixed along
    the way; None keeps the class of the first example."""
    out: Path | None = None
    """A .png file; None is RUN/figures/interpolations.png."""


@dataclass(frozen=True, kw_only=True)
class Traverse(_OfRunData):
    """Draw what each latent changes while the others stay fixed."""

    example: int = 0
    """Index of the test example to start from."""
    dims: tuple[int, ...] | None = None
    """The latents; None is the ten most active."""
    range: tuple[float, float] = (-3.0, 3.0)
    """First and last value of a latent."""
    steps: int = 11
    """Number of values."""
    out: Path | None = None
    """A .png file; None is RUN/figures/traversals.png."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(_OfRun):
    """Measure a trained model: tables, evaluation.json, and a page with figures.

    Ctrl-C ends the running estimate early and keeps what it has, with its error.
    """

    data: str | None = None
    """Where the run's data lies now, or other data, which needs --out."""
    split: str = "test"
    """The split to evaluate: train, validation or test."""
    quick: bool = False
    """Measure only the ELBO and the latents or codes, in seconds, without a page."""
    samples: int = 5000
    """Samples of z of the importance-weighted bound."""
    examples: int = 100
    """Examples that get that bound; the others add their ELBO."""
    annealed: int = 0
    """Examples that get annealed importance sampling, which is tighter and slow."""
    generated: int = 1000
    """Samples to compare with data."""
    factor_examples: int = 2000
    """Examples for metrics of disentanglement, where factors are known."""
    points: int = 500
    """Points of the metrics that intervene on factors."""
    features: str | None = None
    """`inception=FILE` also compares samples of images in the features of the Inception network,
    whose weights are in a safetensors file; this is slow."""
    seed: int = 0
    """Seed of all draws."""
    out: Path | None = None
    """The folder of evaluation.json and report.html; None is the run's."""


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Print the evaluations of runs side by side, with the best value of each figure marked."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Two or more run folders, each with the evaluation.json of `workshop evaluate`."""
    out: Path | None = None
    """An .html file to write the tables to as well."""


@dataclass(frozen=True, kw_only=True)
class Score(_OfRun):
    """Write the ELBO and the reconstruction loss of each example, to find anomalies."""

    data: tyro.conf.Positional[str | None] = None
    """Other data than the run's test examples; every example is scored, in order, and read as it
    is needed."""
    out: Path
    """A .csv file."""
    odd: tuple[str, ...] = ()
    """Classes that count as anomalies, by name or number; also prints how well the scores separate
    them."""
    samples: int = 16
    """Samples of z for each example."""
    bound: int = 0
    """Samples of an importance-weighted bound, the column log_likelihood; 0 leaves it out."""
    seed: int = 0
    """Seed of the samples."""


@dataclass(frozen=True, kw_only=True)
class Encode(_OfRun):
    """Write the codes that a trained vq-vae gives images: a tokenizer."""

    data: tyro.conf.Positional[str | None] = None
    """Other data than the run's own, of which every example is encoded, in order."""
    out: Path
    """A .npz file: x, or x_train, x_validation and x_test, with labels (y) and file names (names)
    where the data has them."""


@dataclass(frozen=True, kw_only=True)
class Decode(_OfRun):
    """Write the images that codes stand for."""

    codes: tyro.conf.Positional[Path]
    """A file that `workshop encode` wrote, or one like it."""
    count: int = 64
    """Number of images in a .png file."""
    out: Path
    """A .png, .npy or .npz file."""


@dataclass(frozen=True, kw_only=True)
class Prior(_OfRun):
    """Fit a prior over the codes of a trained vq-vae: a causal transformer.

    It is saved in the run folder, and `workshop sample` then draws from it.
    """

    data: str | None = None
    """Where the run's data lies now, or other data."""
    config: Annotated[PriorConfig, tyro.conf.arg(name="")] = field(default_factory=PriorConfig)
    """The transformer."""
    training: Annotated[PriorTrainingConfig, tyro.conf.arg(name="")] = field(
        default_factory=PriorTrainingConfig
    )
    """Options of the training run."""
    resume: bool = False
    """Continue from the newest checkpoint of a fit that was stopped."""
    progress: bool = True
    """Show a progress bar."""


@dataclass(frozen=True, kw_only=True)
class Explore(_OfRun):
    """Open a run in the browser: latents, codes, interpolations, and curves while it trains.

    Nothing leaves this machine, and the page works without a network.
    """

    data: str | None = None
    """Where the run's data lies now, or other data, of which the test part is shown."""
    host: str = "127.0.0.1"
    """Address to listen at; any but the default lets others in."""
    port: int = 8080
    """Port to listen at; 0 takes a free one."""
    open: bool = True
    """Open the page in a browser."""


@dataclass(frozen=True, kw_only=True)
class Export(_OfRun):
    """Write a trained model as programs that run without this library.

    Encode, decode, reconstruct and sample, for any number of examples. Each is run and compared
    with the model before it is kept.
    """

    to: Literal["stablehlo", "onnx", "safetensors"]
    """stablehlo, for JAX and XLA; onnx, for ONNX runtimes (pip install 'workshop-vae[onnx]');
    safetensors, the weights and the configuration alone."""
    out: Path | None = None
    """The folder; None is RUN/export/FORMAT."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """List the data sets."""


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the models that `train --model` takes, or show the configuration of one."""

    name: tyro.conf.Positional[str | None] = None
    """A model, whose configuration for the digits is printed as a file that --config reads."""


COMMANDS: dict[str, tuple[type, str]] = {
    "train": (Train, "train.train"),
    "sample": (Sample, "look.sample"),
    "reconstruct": (Reconstruct, "look.reconstruct"),
    "interpolate": (Interpolate, "look.interpolate"),
    "traverse": (Traverse, "look.traverse"),
    "evaluate": (Evaluate, "evaluate.evaluate"),
    "compare": (Compare, "evaluate.compare_runs"),
    "score": (Score, "evaluate.score"),
    "encode": (Encode, "codes.encode"),
    "decode": (Decode, "codes.decode"),
    "prior": (Prior, "codes.fit_prior"),
    "explore": (Explore, "explore.command.explore"),
    "export": (Export, "export.export"),
    "data": (Data, "tables.list_data"),
    "models": (Models, "models.models"),
}
"""By name: the options, and the function of `workshop.cli` that takes them.

The options of `train` depend on one another, see `app`.
"""
