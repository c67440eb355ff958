"""How much each latent carries, and how evenly a codebook is used."""

from math import exp

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..core.checks import positive_int
from ..evaluation.latents.codebooks import entropy
from .arrays import vector, whole
from .codebooks import draw_usage
from .drawing import draw_sheet
from .scales import Scale
from .sheet import Sheet, default_columns
from .style import FIRST, QUIET, RULE, Number, open_chart, settled, styled


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
        >>> from workshop.generative_models.visualization import kl_bars
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
        >>> from workshop.generative_models.visualization import codebook_usage
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
    draw_usage(figure.subplots(), usage)
    return settled(figure)


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
        >>> import numpy as np
        >>> from workshop.generative_models.visualization import code_maps
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
    wide = default_columns(len(maps), maps.shape[1:])
    if columns is not None:
        wide = min(positive_int("code_maps: columns", columns), len(maps))
    sheet = Sheet(
        examples=maps,
        places=[divmod(i, wide) for i in range(len(maps))],
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
