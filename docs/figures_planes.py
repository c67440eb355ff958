"""Drawing functions for docs/figures_families.py, in the style of the library's figures."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workshop.generative_models.evaluation.estimates import Estimate
from workshop.generative_models.visualization.scales import Scale
from workshop.generative_models.visualization.sheet import Sheet, draw_sheet
from workshop.generative_models.visualization.style import (
    ACCENT,
    FIRST,
    INK,
    PALETTE,
    QUIET,
    RULE,
    SMALL,
    open_chart,
    settled,
    styled,
)

PARTS = {
    "mutual_information": "mutual information",
    "total_correlation": "total correlation",
    "dimension_wise_kl": "dimension-wise KL",
}
"""Labels of the three terms that the KL decomposes into."""


class Panel(NamedTuple):
    """Points of the plane, by class if there are labels, on a density and beside lines."""

    title: str
    points: Float[np.ndarray, "n 2"]
    labels: Int[np.ndarray, " n"] | None
    outlines: Sequence[Float[np.ndarray, "m 2"]] = ()
    density: Float[np.ndarray, "rows columns"] | None = None
    extent: tuple[float, float, float, float] | None = None


def square(points: Float[np.ndarray, "n 2"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper corner of a square around points, with a margin."""
    low, high = points.min(0), points.max(0)
    middle, half = (low + high) / 2, 0.55 * (high - low).max()
    return middle - half, middle + half


@styled
def planes(panels: Sequence[Panel], title: str, notes: Sequence[str]) -> Figure:
    """Draw panels side by side, each with its own axis limits, and one legend of the classes."""
    figure = open_chart(880, 820 / len(panels) + 28, title, notes)
    every = figure.subplots(1, len(panels))
    for axes, panel in zip(every, panels, strict=True):
        _draw_panel(axes, panel)
    labels = panels[0].labels
    if labels is not None:
        handles = [
            Line2D([], [], ls="", marker="o", color=PALETTE[label % len(PALETTE)], ms=6)
            for label in np.unique(labels)
        ]
        names = [str(label) for label in np.unique(labels)]
        figure.legend(handles, names, title="class", loc="outside right center")
    return settled(figure)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    if panel.density is not None:
        # A dark background would hide the colours of the classes.
        darkest = panel.density.max() * (1.0 if panel.labels is None else 2.2)
        axes.imshow(panel.density, "Blues", vmin=0, vmax=darkest, origin="lower",
                    extent=panel.extent, interpolation="bilinear", aspect="auto")  # fmt: skip
    for line in panel.outlines:
        axes.plot(*line.T, color=INK if panel.labels is None else QUIET, lw=1)
    colours: str | list[str] = ACCENT
    if panel.labels is not None:
        colours = [PALETTE[label % len(PALETTE)] for label in panel.labels]
    alpha = 0.35 if panel.labels is None else 1.0
    axes.scatter(*panel.points.T, s=5, c=colours, linewidths=0, alpha=alpha)
    low, high = square(np.concatenate([panel.points, *panel.outlines]))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), title=panel.title)
    if panel.extent is not None:
        axes.set(xlim=panel.extent[:2], ylim=panel.extent[2:])
    axes.set_box_aspect(1)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=SMALL - 1, length=2, color=RULE)


@styled
def kl_parts(rows: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the KL of each model as a bar of its three parts.

    Args:
        rows: nats of each of `PARTS`, by model.
    """
    notes = ["Training digits, nats per example, with one z each; the three parts sum to the KL."]
    figure = open_chart(760, 40 + 28 * len(rows), "Parts of the KL under each objective", notes)
    axes = figure.subplots()
    left = np.zeros(len(rows))
    for (key, label), colour in zip(PARTS.items(), (FIRST, PALETTE[2], PALETTE[3]), strict=True):
        nats = np.array([parts[key] for parts in rows.values()])
        axes.barh(list(rows), nats, left=left, color=colour, label=label, height=0.65)
        for i, value in enumerate(nats):
            if value > 0.35:
                axes.text(left[i] + value / 2, i, f"{value:.2f}", ha="center", va="center",
                          size=SMALL, color="white")  # fmt: skip
        left = left + nats
    axes.invert_yaxis()
    _label_nats(axes)
    return settled(figure)


def _label_nats(axes: Axes) -> None:
    """Style a chart with one row per model and nats along the horizontal axis."""
    axes.set_xlabel("nats")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


@styled
def bounds(rows: Mapping[str, tuple[Estimate, Estimate]]) -> Figure:
    """Draw the ELBO and the importance-weighted bound of each model, joined by a line."""
    notes = ["Test digits, nats per example: the line shows what the ELBO misses of log p(x)."]
    title = "The ELBO and the importance-weighted bound of each model"
    figure = open_chart(760, 40 + 26 * len(rows), title, notes)
    axes = figure.subplots()
    for i, (lower, upper) in enumerate(rows.values()):
        axes.plot([lower.value, upper.value], [i, i], color=RULE, lw=2, zorder=1)
    kinds = ((0, "ELBO", FIRST), (1, "bound of 5,000 samples", ACCENT))
    for which, label, colour in kinds:
        values = [pair[which].value for pair in rows.values()]
        axes.scatter(values, range(len(rows)), s=34, color=colour, label=label, zorder=2)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    _label_nats(axes)
    return settled(figure)


@styled
def rows_of_images(rows: Mapping[str, Float[np.ndarray, "n h w 1"]], title: str) -> Figure:
    """Draw one row of images for each name."""
    images = np.stack(list(rows.values()))
    count, columns = images.shape[:2]
    sheet = Sheet(
        examples=images.reshape(-1, *images.shape[2:]),
        places=[divmod(i, columns) for i in range(count * columns)],
        scale=Scale(0.0, 1.0),
        title=title,
        row_labels=dict(enumerate(rows)),
    )
    return draw_sheet(sheet)
