"""The figures of a trained model: those that a run ends with."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

from ..core.modules import in_evaluation_mode
from ..data import Split
from ..evaluation import outputs
from ..evaluation.latents import codebook_healths
from ..evaluation.outputs import scaled
from ..evaluation.passes import condition_of
from ..models.vae import VAE
from .bars import code_maps, codebook_panels, kl_bars
from .curves import curves_of, training_curves, varies
from .files import save
from .grids import reconstructions, samples
from .latents import latent_map
from .paths import interpolations, traversals

_FAR = 1e9
"""Examples with larger values are looked at before they are drawn."""


def draw_reconstructions(
    model: VAE,
    split: Split,
    count: int = 24,
    class_names: Sequence[str] | None = None,
    drawn: np.ndarray | None = None,
) -> Figure:
    """Draw examples above what the model makes of their means, or above `drawn_reconstructions`."""
    part = split.take(slice(count))
    made = outputs.reconstructions(model, part)
    shown = made["x"] if drawn is None else drawn[:count]
    return reconstructions(
        scaled(np.asarray(part.x)), shown, part.labels, made["loss"], class_names=class_names
    )


def drawn_reconstructions(model: VAE, split: Split, seed: int = 0) -> np.ndarray:
    """Return a draw from p(x|z) of each example, at the mean of its latents."""
    options = {"deterministic": True, "observation_noise": True, **condition_of(model, split)}
    x, rngs = np.asarray(split.x), nnx.Rngs(seed)
    return np.asarray(in_evaluation_mode(model).reconstruct(x, rngs=rngs, **options))


def draw_samples(
    model: VAE,
    count: int = 64,
    *,
    temperature: float = 1.0,
    labels: np.ndarray | None = None,
    guidance: float = 1.0,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    observation_noise: bool = False,
    top_k: int | None = None,
    top_p: float | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw samples, of a conditional model one row for each class, and return them too.

    `labels` are the class of each sample, or rows of another condition; None is all classes. For
    `guidance`, `top_k` and `top_p` of a prior over codes see `CodePrior.sample`.
    """
    classes = model.num_classes
    if classes and labels is None:
        labels = np.sort(np.arange(count) % classes)
    own = None if guidance == 1 else guidance
    given = {"y": labels, "top_k": top_k, "top_p": top_p, "guidance": own}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    made = in_evaluation_mode(model).sample(
        count,
        temperature=temperature,
        rngs=nnx.Rngs(seed),
        observation_noise=observation_noise,
        **options,
    )
    shown = labels if labels is not None and labels.ndim == 1 and classes else None
    figure = samples(np.asarray(made), shown, class_names=class_names)
    return figure, np.asarray(made)


def draw_interpolations(
    model: VAE,
    split: Split,
    pairs: Iterable[tuple[int, int]],
    steps: int = 10,
    labels: tuple[int, int] | None = None,
) -> Figure:
    """Draw the way from one example to another, with the first one's class or between `labels`."""
    line = nnx.jit(lambda m, a, b, c: m.interpolate(a, b, steps, **c))
    model, rows = in_evaluation_mode(model), []
    for first, last in pairs:
        condition = condition_of(model, split.take([first]))
        if labels is not None:
            condition = {"y1": jnp.asarray(labels[0]), "y2": jnp.asarray(labels[1])}
        rows.append(line(model, split.x[first], split.x[last], condition))
    return interpolations(np.stack(rows))


def draw_traversals(
    model: VAE,
    split: Split,
    *,
    example: int = 0,
    dims: Sequence[int] | None = None,
    range_vals: tuple[float, float] = (-3.0, 3.0),
    steps: int = 11,
) -> Figure:
    """Draw one row a latent, the most active first, while that latent alone moves."""
    activity, in_nats = outputs.activity(model, split.take(slice(1000)))
    if dims is None:
        dims = [int(dim) for dim in np.argsort(-activity)[:10]]
    condition = condition_of(model, split.take([example]))

    @nnx.jit  # one program for all latents: they share the encoding, and compile once
    def move(model: VAE, x: Any, condition: dict[str, Any]) -> jax.Array:
        rows = [model.latent_traversal(x, dim, range_vals, steps, **condition) for dim in dims]
        return jnp.stack(rows)

    moved = move(in_evaluation_mode(model), split.x[example], condition)
    kl = activity[list(dims)] if in_nats else None
    return traversals(moved, np.asarray(dims), kl, np.linspace(*range_vals, steps))


def run_figures(
    model: VAE,
    split: Split,
    rows: Sequence[Mapping[str, Any]],
    class_names: Sequence[str] | None = None,
    seed: int = 0,
) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a run, of the history of its metrics and of examples, by name."""
    found = curves_of(rows)
    changing = [key for key in found if varies(found[key])] or None
    yield "training_curves", training_curves(rows, metrics=changing, own=model.metrics)
    own = outputs.own_conditions(model, split)
    conditions = None if own is None else own[np.arange(100) % len(own)]
    drawn, _ = draw_samples(model, 100, labels=conditions, class_names=class_names, seed=seed)
    yield "samples", drawn
    split = _drawable(model, split.take(slice(2000)))
    if not len(split):
        return
    yield "reconstructions", draw_reconstructions(model, split, class_names=class_names)
    yield "traversals", draw_traversals(model, split)
    pairs = _pairs(split, of_one_class=model.conditional)  # which is told it
    yield "interpolations", draw_interpolations(model, split, pairs)
    latents = outputs.representations(model, split)
    what = ", by the vectors of their codes" if model.has_codes else ""
    title = f"Where the encoder puts the examples{what}"
    yield "latent_map", latent_map(latents, split.labels, class_names, title=title)
    if model.has_codes:
        codes: Any = model
        indices = outputs.code_indices(model, split)
        for name, health in codebook_healths(codes.quantizer, indices).items():
            yield f"{name}_usage", codebook_panels(health)
        if indices.ndim > 2:
            # Of several codes at a place the first ones.
            yield "code_maps", code_maps(indices[:24].reshape(*indices[:24].shape[:3], -1)[..., 0])
        return
    activity, in_nats = outputs.activity(model, split)
    if in_nats:
        yield "kl_per_latent", kl_bars(activity)


def _drawable(model: VAE, split: Split) -> Split:
    """Return the examples whose losses are finite: a figure cannot show the others."""
    x = np.asarray(split.x)
    if x.dtype == np.uint8 or np.abs(x).max() < _FAR:
        return split
    losses = outputs.reconstructions(model, split)["loss"]
    if model.has_density and not model.has_codes:
        losses = losses + outputs.divergences(model, split).reshape(len(split), -1).sum(-1)
    finite = np.isfinite(losses)
    if not finite.all():
        logging.getLogger("workshop").warning(
            "figures leave out %s of %s examples, whose loss is beyond float32",
            np.sum(~finite), len(split),
        )  # fmt: skip
    return split.take(finite)


def save_figures(figures: Iterable[tuple[str, Figure]], folder: Path) -> list[Path]:
    """Write figures as FOLDER/NAME.png."""
    return [save(figure, folder / f"{name}.png") for name, figure in figures]


def _pairs(split: Split, *, of_one_class: bool, count: int = 6) -> list[tuple[int, int]]:
    """Return pairs of examples: of different classes, or of one."""
    if split.labels is None:
        return [(2 * i % len(split), (2 * i + 1) % len(split)) for i in range(count)]
    members = [np.flatnonzero(split.labels == c) for c in np.unique(split.labels)]
    if of_one_class:
        return [(int(m[0]), int(m[-1])) for m in members[:count]]
    # The n-th pair of two classes is of their n-th examples, so that no pair comes twice
    # while a class has others.
    shown = [members[k % len(members)] for k in range(2 * count)]
    rounds = [k // len(members) for k in range(2 * count)]
    at = [int(m[n % len(m)]) for m, n in zip(shown, rounds, strict=True)]
    return list(zip(at[::2], at[1::2], strict=True))
