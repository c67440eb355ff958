"""How much each latent carries, how evenly codes are used, and how far they lie apart."""

from math import exp

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from ..evaluation.latents import CodebookHealth, verdict
from ..evaluation.latents.codebooks import entropy
from .arrays import vector, whole
from .scales import Scale
from .sheet import Sheet, draw_sheet, grid_places
from .style import (
    ACCENT,
    FIRST,
    INK,
    QUIET,
    RULE,
    SMALL,
    Number,
    open_chart,
    settled,
    styled,
)


@styled
def kl_bars(
    kl_per_dimension: ArrayLike,
    *,
    inactive_below: Number = 0.01,
    title: str = "How much each latent tells about an example",
) -> Figure:
    """Draw the KL divergence of each latent from its prior, the largest first.

    Args:
        kl_per_dimension: (latent_dim,) in nats, means over examples.
        inactive_below: latents with less than this many nats stand on a hatched ground, as
            inactive: they tell the decoder nothing.
        title: the heading of the figure.

    Raises:
        ValueError: if `kl_per_dimension` is not one axis of finite numbers.

    Examples:
        >>> axes = kl_bars([0.001, 2.5, 0.7]).axes[0]
        >>> [label.get_text() for label in axes.get_xticklabels()]
        ['z1', 'z2', 'z0']
    """
    nats = vector("kl_bars(kl_per_dimension)", kl_per_dimension)
    n = len(nats)
    order = np.argsort(-nats, kind="stable")
    used = int((nats >= inactive_below).sum())
    note = f"{used} of {n} latents active; together {nats.sum():.4g} nats per example."
    if used < n:
        note += f" Hatched: inactive, under {inactive_below:g} nats."
    figure = open_chart(min(max(420, 80 + 28 * n), 1100), 280, title, [note])
    axes = figure.subplots()
    axes.bar(np.arange(n), nats[order], 0.8 if n <= 60 else 1.0, color=FIRST)
    if used < n:
        # Behind the bars, which are too low to be seen themselves.
        axes.axvspan(used - 0.5, n - 0.5, fc="#f2f2f2", ec=RULE, hatch="///", lw=0, zorder=0.5)
    # A lone bar should look like a bar.
    axes.set(ylabel="KL, nats", xlim=(-0.6, max(n, 5) - 0.4))
    axes.set_ylim(min(0, 1.05 * nats.min()), max(1.05 * nats.max(), 10 * inactive_below))
    axes.grid(axis="y")
    if n <= 36:
        axes.set_xticks(np.arange(n), [f"z{dim}" for dim in order])
        axes.tick_params(axis="x", length=0)
        for label in axes.get_xticklabels()[used:]:
            label.set_color(QUIET)
    else:
        axes.set_xlabel("latents, the largest KL first")
    return settled(figure)


@styled
def codebook_usage(counts: ArrayLike, *, title: str = "How evenly the codes are used") -> Figure:
    """Draw the share of each code, the most used first.

    The note has the perplexity, exp(-Σ p log p): the number of codes that would be as varied if
    all were used alike.

    Args:
        counts: (codes,) how often each was used, whole numbers or moving averages, >= 0.
        title: the heading of the figure.

    Raises:
        ValueError: if `counts` is not one axis of finite numbers >= 0 with a positive sum.

    Examples:
        >>> codebook_usage([10, 0, 10, 0]).texts[1].get_text()
        '2 of 4 codes used (50%), perplexity 2.0.'
    """
    where = "codebook_usage(counts)"
    usage = vector(where, counts)
    if usage.min() < 0 or usage.sum() <= 0:
        raise ValueError(f"{where}: expected numbers >= 0, one of them > 0, got {usage}")
    n, used = len(usage), int((usage > 0).sum())
    said = f"{used:,} of {n:,} codes used ({used / n:.0%}), perplexity {exp(entropy(usage)):.1f}."
    figure = open_chart(560, 300, title, [said])
    _draw_usage(figure.subplots(), usage)
    return settled(figure)


@styled
def codebook_panels(health: CodebookHealth, *, title: str = "Health of the codebook") -> Figure:
    """Draw the share of each code and, where known, the distances from code to nearest code.

    In the right panel codes at 0 are copies of each other; unused codes far below the used ones
    were never pulled to the data.

    Args:
        health: from `codebook_health`; given its codes, for the right panel.
        title: the heading of the figure.

    Examples:
        >>> from workshop.generative_models.evaluation.latents import codebook_health
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
    _draw_usage(grid[0], health.counts.astype(np.float64))
    if apart is not None:
        _draw_distances(grid[1], apart, health.counts > 0)
    return settled(figure)


def _draw_usage(axes: Axes, usage: Float[np.ndarray, " k"]) -> None:
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
    """Draw how far codes are from their nearest other code, each group in % of its own codes."""
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


@styled
def code_maps(
    indices: ArrayLike,
    num_codes: int | None = None,
    *,
    columns: int | None = None,
    title: str = "Codes that the encoder chose",
) -> Figure:
    """Draw maps of code indices; equal colours are equal codes.

    Args:
        indices: (n, height, width) whole numbers >= 0, or (n, codes) without places, drawn as rows.
        num_codes: size of the codebook, by default the largest index + 1.
        columns: maps a row, by default about a square.
        title: the heading of the figure.

    Raises:
        ValueError: if `indices` have another rank or lie outside 0 .. num_codes - 1.

    Examples:
        >>> len(code_maps(np.arange(32).reshape(2, 4, 4), num_codes=64).axes[0].images)
        2
    """
    where = "code_maps(indices)"
    codes = whole(where, indices)
    if codes.ndim not in (2, 3):
        raise ValueError(f"{where}: expected (n, height, width) or (n, codes), got {codes.shape}")
    size = int(codes.max()) + 1 if num_codes is None else num_codes
    if codes.min() < 0 or codes.max() >= size:
        raise ValueError(
            f"{where}: expected 0 <= index < {size} (num_codes), got {codes.min()} to {codes.max()}"
        )
    maps = (codes if codes.ndim == 3 else codes[:, None])[..., None].astype(np.float64)
    sheet = Sheet(
        examples=maps,
        places=grid_places("code_maps", maps, columns),
        scale=Scale(-0.5, size - 0.5),
        title=title,
        notes=[
            f"{len(np.unique(codes)):,} of {size:,} codes occur here; their order says nothing."
        ],
        colours="viridis",
        whole_numbers=True,
        bar_label="code",
    )
    return draw_sheet(sheet)
