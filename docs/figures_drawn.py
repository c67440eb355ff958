"""Figures of docs/figures.py that the library has no function for, in the library's look."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from workshop.generative_models.evaluation.estimates import Estimate
from workshop.generative_models.visualization.scales import Scale
from workshop.generative_models.visualization.sheet import Sheet, draw_sheet
from workshop.generative_models.visualization.style import (
    ACCENT,
    DPI,
    FIRST,
    INK,
    QUIET,
    RULE,
    SMALL,
    open_chart,
    open_figure,
    settled,
    styled,
)


@styled
def vae(x: Float[np.ndarray, "h w"], made: Float[np.ndarray, "h w"]) -> Figure:
    """Draw x → encoder → q(z|x) → z → decoder → p(x|z), and which term of the loss is where."""
    width, height = 900, 300
    figure = open_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    _picture(axes, x, 20, "x", "an example")
    _box(axes, 165, "encoder", "→ mean, log-variance")
    _bells(axes, 375)
    _box(axes, 545, "decoder", "→ parameters of p(x|z)")
    _picture(axes, made, 792, "p(x|z)", "here its mean")
    for start, end in ((112, 160), (322, 352), (498, 540), (702, 786)):
        _arrow(axes, (start, 120), (end, 120))
    axes.text(519, 104, "z", ha="center", size=11, style="italic")
    _span(axes, 345, 505, "KL(q(z|x) ‖ p(z))", "the rate: what z tells of x", ACCENT)
    _span(axes, 20, 880, "-log p(x|z)", "the distortion: how badly z describes x", FIRST, low=True)
    return figure


def _picture(axes: Axes, image: np.ndarray, left: float, name: str, note: str) -> None:
    size = 88
    axes.imshow(image, "gray", vmin=0, vmax=1, extent=(left, left + size, 120 + size / 2,
                120 - size / 2), interpolation="nearest", aspect="auto")  # fmt: skip
    axes.text(left + size / 2, 40, name, ha="center", size=12)
    axes.text(left + size / 2, 60, note, ha="center", size=SMALL, color=QUIET)


def _box(axes: Axes, left: float, name: str, note: str) -> None:
    style = "round,pad=0,rounding_size=8"
    box = FancyBboxPatch((left, 85), 155, 70, style, fc="#f2f6fb", ec=FIRST, lw=1)
    axes.add_patch(box)
    axes.text(left + 77, 112, name, ha="center", va="center", size=11)
    axes.text(left + 77, 135, note, ha="center", va="center", size=SMALL, color=QUIET)


def _bells(axes: Axes, left: float) -> None:
    """Draw the densities of q(z|x) and of the prior."""
    z = np.linspace(-3, 3, 121)
    places = left - 20 + (z + 3) / 6 * 140
    for mean, scale, colour, dashes in ((0, 1, QUIET, (0, (4, 3))), (0.8, 0.45, ACCENT, "-")):
        density = np.exp(-(((z - mean) / scale) ** 2) / 2) / scale
        axes.plot(places, 155 - 30 * density, color=colour, ls=dashes)
    axes.plot([places[0], places[-1]], [155, 155], color=RULE, lw=1)
    axes.text(left + 50, 40, "q(z|x)", ha="center", size=12, color=ACCENT)
    axes.text(left + 50, 60, "beside the prior p(z)", ha="center", size=SMALL, color=QUIET)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=INK))


def _span(
    axes: Axes, left: float, right: float, name: str, note: str, colour: str, *, low: bool = False
) -> None:
    """Draw a bracket below, with a term of the loss."""
    y = 235 if low else 172
    axes.plot([left, left, right, right], [y - 6, y, y, y - 6], color=colour, lw=1.2)
    axes.text((left + right) / 2, y + 18, name, ha="center", size=11, color=INK)
    axes.text((left + right) / 2, y + 35, note, ha="center", size=SMALL, color=QUIET)


@styled
def kl_panels(panels: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the KL of each latent, the largest first, of several runs on one scale.

    Args:
        panels: nats of each latent, by what stands above.
    """
    notes = ["Mean over test digits; one bar a latent, the largest first."]
    size = max(map(len, panels.values()))
    figure = open_chart(880, 240, f"KL(q(z|x) ‖ p(z)) of each of {size} latents", notes)
    every = figure.subplots(1, len(panels), sharey=True)
    for axes, (title, nats) in zip(every, panels.items(), strict=True):
        axes.bar(range(1, len(nats) + 1), nats, color=FIRST)
        axes.set(title=title, xticks=[1, len(nats)], xlim=(0.3, len(nats) + 0.7))
        axes.text(0.97, 0.99, f"together {sum(nats):.2f} nats", transform=axes.transAxes,
                  ha="right", va="top", color=QUIET)  # fmt: skip
        axes.grid(axis="y")
    every[0].set_ylabel("nats")
    right = max(max(nats[len(nats) // 8 :]) for nats in panels.values())
    every[0].set_ylim(0, max(every[0].get_ylim()[1], 1.2 * right))  # room for the sums
    return settled(figure)


@styled
def rate_distortion(measured: Sequence[tuple[float, Mapping[str, Estimate]]]) -> Figure:
    """Draw the distortion over the rate for each β, and the ELBO over β.

    Args:
        measured: β and the figures `kl_loss`, `reconstruction_loss` and `elbo`, by rising β.
    """
    notes = [
        "Test digits, nats per example, bars of one standard error. Dashed: where the ELBO is the "
        "best one's."
    ]
    figure = open_chart(880, 330, "What β trades: rate against distortion", notes)
    plane, line = figure.subplots(1, 2)
    betas = [beta for beta, _ in measured]
    value = {k: np.array([f[k].value for _, f in measured]) for k in measured[0][1]}
    error = {k: np.array([f[k].standard_error for _, f in measured]) for k in value}
    style = {"color": FIRST, "marker": "o", "markersize": 4, "elinewidth": 1}
    x, y = "kl_loss", "reconstruction_loss"
    plane.errorbar(value[x], value[y], error[y], error[x], **style)
    places: dict[tuple[float, ...], list[str]] = {}
    for beta, rate, distortion in zip(betas, value[x], value[y], strict=True):
        places.setdefault((round(rate, 1), round(distortion, 1)), []).append(f"{beta:g}")
    for place, at in places.items():
        plane.annotate(f"β = {', '.join(at)}", place, xytext=(7, 6),
                       textcoords="offset points", size=SMALL)  # fmt: skip
    limits = plane.get_xlim(), plane.get_ylim()
    ends = np.array([-1.0, 2 * value[x].max() + 1])
    plane.plot(ends, -value["elbo"].max() - ends, color=QUIET, ls=(0, (4, 3)), lw=1)
    plane.set(xlim=(limits[0][0], limits[0][1] * 1.2), ylim=limits[1])
    plane.set(xlabel="rate: KL(q(z|x) ‖ p(z)), nats", ylabel="distortion: -log p(x|z), nats")
    line.errorbar(betas, value["elbo"], error["elbo"], **style)
    line.set_xscale("log")
    line.set_xticks(betas, [f"{beta:g}" for beta in betas])
    line.minorticks_off()
    line.set(xlabel="β in training", ylabel="ELBO, nats")
    for axes in (plane, line):
        axes.grid(axis="y")
    return settled(figure)


@styled
def swapped(images: Float[np.ndarray, "n columns h w 1"]) -> Figure:
    """Draw examples, and beside each the same latents decoded as every class."""
    rows, columns = images.shape[:2]
    sheet = Sheet(
        examples=images.reshape(-1, *images.shape[2:]),
        places=[divmod(i, columns) for i in range(rows * columns)],
        scale=Scale(0.0, 1.0),
        title="Test digits, and the same z with each class",
        column_labels=dict(enumerate(["test", *map(str, range(columns - 1))])),
    )
    return draw_sheet(sheet)


@styled
def code_map(
    images: Float[np.ndarray, "n h w 1"],
    codes: Int[np.ndarray, "n rows columns"],
    made: Float[np.ndarray, "n h w 1"],
) -> Figure:
    """Draw images, the number of the code at each place, and what is decoded from them."""
    size, gap, top, margin = 224, 16, 40, 14
    width, height = 2 * margin + 3 * size + 2 * gap, top + len(images) * (size + gap)
    figure = open_figure(width, height)
    rows, columns = codes.shape[1:]
    titles = ("an image", f"its {rows} × {columns} codes", "decoded from the codes alone")
    for i, parts in enumerate(zip(images, codes, made, strict=True)):
        for j, part in enumerate(parts):
            left, bottom = margin + j * (size + gap), height - top - i * (size + gap) - size
            place = (left / width, bottom / height, size / width, size / height)
            axes = figure.add_axes(place)
            axes.set(xticks=[], yticks=[], title=titles[j] if i == 0 else "")
            if j == 1:
                _numbers(axes, part)
            else:
                axes.imshow(part[..., 0], "gray", vmin=0, vmax=1, interpolation="nearest")
            for spine in axes.spines.values():
                spine.set(visible=True, edgecolor=RULE, linewidth=72 / DPI)
    return figure


def _numbers(axes: Axes, codes: Int[np.ndarray, "rows columns"]) -> None:
    """Write codes where they stand, the most frequent one on a ground of its own."""
    rows, columns = codes.shape
    found, counts = np.unique(codes, return_counts=True)
    common = found[counts.argmax()]
    axes.imshow(codes == common, "Blues", vmin=0, vmax=4, aspect="auto")
    for (row, column), code in np.ndenumerate(codes):
        colour = QUIET if code == common else INK
        axes.text(column, row, str(code), ha="center", va="center_baseline", size=7.5, color=colour)
    for i in range(1, rows):
        axes.axhline(i - 0.5, color=RULE, lw=0.5)
    for i in range(1, columns):
        axes.axvline(i - 0.5, color=RULE, lw=0.5)
