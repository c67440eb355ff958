"""The health of a codebook: how evenly its codes are used, and how far they lie apart."""

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from ..evaluation.latents import CodebookHealth, verdict
from .style import ACCENT, FIRST, INK, QUIET, SMALL, open_chart, settled, styled


@styled
def codebook_panels(health: CodebookHealth, *, title: str = "Health of the codebook") -> Figure:
    """Draw the share of each code and, where known, the distances from code to nearest code.

    The note has the perplexity, the bits of an index and, if the codebook has collapsed, what to
    try. In the right panel codes at 0 are copies of each other; unused codes far below the used
    ones were never pulled to the data.

    Args:
        health: from `codebook_health`; given its codes, for the right panel.
        title: the heading of the figure.

    Examples:
        >>> from workshop.generative_models.evaluation.latents import codebook_health
        >>> from workshop.generative_models.visualization.codebooks import codebook_panels
        >>> codebook_panels(codebook_health([0, 2, 2, 0], 4)).texts[1].get_text()
        '2 of 4 codes used (50%), perplexity 2.0, 1.00 bits an index.'
    """
    size = len(health.counts)
    told = f"perplexity {health.perplexity:.1f}, {health.bits:.2f} bits an index."
    collapsed = verdict(health)
    notes = [f"{health.used:,} of {size:,} codes used ({health.share:.0%}), {told}"]
    if collapsed is not None:
        notes = [f"{collapsed}.", told.capitalize()]
    apart = None if health.distances is None or size == 1 else health.distances
    figure = open_chart(560 if apart is None else 880, 300, title, notes)
    grid = figure.subplots(1, 1 if apart is None else 2, squeeze=False)[0]
    draw_usage(grid[0], health.counts.astype(np.float64))
    if apart is not None:
        _draw_distances(grid[1], apart, health.counts > 0)
    return settled(figure)


def draw_usage(axes: Axes, usage: Float[np.ndarray, " k"]) -> None:
    """Draw the share of each code, the most used first, beside that of all used alike."""
    n = len(usage)
    shares = 100 * np.sort(usage)[::-1] / usage.sum()
    axes.stairs(shares, np.arange(n + 1) + 0.5, fill=True, color=FIRST)
    axes.axhline(100 / n, color=QUIET, ls=(0, (4, 3)), lw=1)
    axes.annotate(
        "all alike",
        (1, 100 / n),
        xycoords=("axes fraction", "data"),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        size=SMALL,
        color=QUIET,
    )
    axes.set(xlabel="codes, the most used first", ylabel="% of all uses", xlim=(0.5, n + 0.5))
    # A few codes, of a background say, would hide many others.
    if shares[0] > 20 * 100 / n and (shares > 0).sum() > 20:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(shares[shares > 0].min() / 2, 2 * shares[0])
    else:
        axes.set_ylim(0, 1.08 * shares[0])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y")


def _draw_distances(
    axes: Axes, distances: Float[np.ndarray, " k"], used: Bool[np.ndarray, " k"], bins: int = 40
) -> None:
    """Draw how far codes are from their nearest other code, those in use and the others apart.

    Each group is drawn in % of its own codes: a few codes in use stay visible beside many dead.
    """
    # Equal distances, or zeros alone, still need a bin with a width.
    edges = np.linspace(0, 1.02 * (float(distances.max()) or 1.0), bins + 1)
    highest = 0.0
    for group, colour, name, fill in (
        (used, FIRST, "used", True),
        (~used, ACCENT, "never used", False),
    ):
        if group.any():
            shares = 100 * np.histogram(distances[group], edges)[0] / group.sum()
            label = f"{name} ({group.sum():,})"
            axes.stairs(shares, edges, fill=fill, color=colour, lw=1.5, label=label)
            highest = max(highest, shares.max())
    axes.set(xlabel="distance to the nearest other code", ylabel="% of these codes")
    axes.set(xlim=(0, edges[-1]), ylim=(0, 1.08 * highest))
    axes.grid(axis="y")
    if not used.all():
        axes.legend(loc="best", labelcolor=INK)
