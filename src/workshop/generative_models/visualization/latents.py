"""The latent space: where examples lie in it, and which latents are in use."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ..core.checks import one_of
from .arrays import class_labels, finite, name_of_class, numbers
from .style import PALETTE, SMALL, open_chart, settled, shorten, styled

_MARKERS = "o^"
_HATCHES = (None, "////")
"""What tells the second ten classes from the first, of points and of bars."""
MANY = 2 * len(PALETTE)
"""More classes than this have no colours of their own but a colour bar."""
SIZE = (640, 460)
"""Pixels of the map."""


@styled
def latent_map(
    means: ArrayLike,
    labels: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    *,
    method: str = "variance",
    title: str = "Where the encoder puts the examples",
) -> Figure:
    """Draw the means of q(z|x) in two dimensions, coloured by class.

    Of many latents, the two whose means vary the most over the examples; a single latent as a
    histogram. Both axes have the same scale. Up to 20 classes have ten colours, safe with
    colour-vision deficiencies, in two shapes and a legend; more get a colour bar.

    Args:
        means: (n, latent_dim), one row an example.
        labels: (n,) whole numbers, the class of each example.
        class_names: names by label, written instead of the numbers.
        method: "variance" for the two latents of largest variance, or "pca" for the first two
            principal components.
        title: the heading of the figure.

    Raises:
        ValueError: if `means` are not (n, latent_dim) finite numbers, lengths differ, or "pca" is
            asked of a single latent, a single example or identical examples.

    Examples:
        >>> means = np.random.default_rng(0).normal(size=(50, 4)) * [1, 3, 0.1, 2]
        >>> axes = latent_map(means, labels=np.arange(50) % 3).axes[0]
        >>> axes.get_xlabel().split()[0], axes.get_ylabel().split()[0]
        ('z1', 'z3')
    """
    where = "latent_map(means)"
    points = finite(where, numbers(where, means))
    if points.ndim != 2:
        raise ValueError(f"{where}: expected shape (n, latent_dim), got {points.shape}")
    one_of("latent_map: method", method, ("variance", "pca"))
    n = len(points)
    classes = None if labels is None else class_labels("latent_map(labels)", labels, n)
    project = _principal_components if method == "pca" else _most_active
    flat, names, note = project(points)
    figure = open_chart(*SIZE, title, [f"{n:,} example{'s' * (n > 1)}. {note}"])
    axes = figure.subplots()
    axes.set_xlabel(names[0])
    if flat.shape[1] == 1:
        _draw_histogram(axes, flat[:, 0], classes)
    else:
        axes.set_ylabel(names[1])
        _draw_points(axes, flat, classes)
    if classes is not None:
        _write_legend(axes, classes, class_names)
    return settled(figure)


_Projection = tuple[Float[np.ndarray, "n k"], list[str], str]
"""One or two coordinates of each example, the names of their axes, and how they were chosen."""


def _most_active(points: Float[np.ndarray, "n d"]) -> _Projection:
    """Return the two columns of largest variance, the larger first (ties: the first column)."""
    variance = points.var(axis=0)
    chosen = np.argsort(-variance, kind="stable")[:2]
    names = [f"z{dim}  (variance of the means {variance[dim]:.3g})" for dim in chosen]
    of = f"of {points.shape[1]} latents, the two whose means vary the most"
    note = {1: "The only latent.", 2: "The two latents."}.get(points.shape[1], f"Axes: {of}.")
    return points[:, chosen], names, note


def _principal_components(points: Float[np.ndarray, "n d"]) -> _Projection:
    from sklearn.decomposition import PCA

    if min(points.shape) < 2 or not np.ptp(points, axis=0).any():
        raise ValueError(
            "latent_map(method='pca'): expected at least 2 latents and 2 different examples, got "
            f"means of shape {points.shape}; use method='variance'"
        )
    pca = PCA(n_components=2, svd_solver="full").fit(points)
    ratios = pca.explained_variance_ratio_
    names = [
        f"principal component {i + 1}  ({r:.0%} of the variance)" for i, r in enumerate(ratios)
    ]
    note = f"The first two principal components of {points.shape[1]} latents."
    return pca.transform(points), names, note


def class_colours(count: int) -> list[tuple[float, float, float, float]]:
    """Return one colour for each of `count` classes."""
    if count <= MANY:
        return [to_rgba(PALETTE[i % len(PALETTE)]) for i in range(count)]
    return [to_rgba(colour) for colour in matplotlib.colormaps["viridis"](np.linspace(0, 1, count))]


def _draw_points(
    axes: Axes, points: Float[np.ndarray, "n 2"], classes: Int[np.ndarray, " n"] | None
) -> None:
    """Draw a point an example, in a fixed random order so that no class covers another."""
    n = len(points)
    _, index = np.unique(np.zeros(n) if classes is None else classes, return_inverse=True)
    palette = np.array(class_colours(int(index.max()) + 1))
    order = np.random.default_rng(0).permutation(n)
    area = float(np.clip(25_000 / n, 4, 36))
    shape = index // len(PALETTE) if len(palette) <= MANY else np.zeros(n, int)
    for marker in np.unique(shape):
        drawn = order[shape[order] == marker]
        axes.scatter(
            *points[drawn].T,
            s=area,
            c=palette[index[drawn]],
            marker=_MARKERS[marker],
            alpha=0.85 if n < 3000 else 0.6,
            linewidths=0,
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid()


def _draw_histogram(
    axes: Axes, values: Float[np.ndarray, " n"], classes: Int[np.ndarray, " n"] | None
) -> None:
    """Draw how many examples lie where on one latent, the classes stacked."""
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-9 * max(1.0, abs(low)):
        low, high = low - max(0.5, abs(low) / 2), high + max(0.5, abs(high) / 2)
    edges = np.linspace(low, high, int(np.clip(len(values) ** 0.5, 8, 60)) + 1)
    kinds = [None] if classes is None else list(np.unique(classes))
    bottom = np.zeros(len(edges) - 1)
    for kind, colour in zip(kinds, class_colours(len(kinds)), strict=True):
        counts, _ = np.histogram(values if kind is None else values[classes == kind], edges)
        group = kinds.index(kind) // len(PALETTE) if len(kinds) <= MANY else 0
        axes.stairs(
            bottom + counts,
            edges,
            baseline=bottom,
            fill=True,
            facecolor=colour,
            edgecolor="white",
            linewidth=0,
            hatch=_HATCHES[group],
        )
        bottom = bottom + counts
    axes.set_ylabel("examples")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(axis="y")


def _write_legend(
    axes: Axes, classes: Int[np.ndarray, " n"], class_names: Sequence[str] | None
) -> None:
    """Name the classes right of the map: a legend up to `MANY`, else a colour bar."""
    kinds = np.unique(classes)
    if len(kinds) > MANY:
        scale = ScalarMappable(Normalize(0, len(kinds) - 1), "viridis")
        ticks = np.linspace(0, len(kinds) - 1, 6).astype(int)
        bar = axes.figure.colorbar(scale, ax=axes, ticks=ticks, pad=0.02, aspect=30)
        shown = kinds[ticks].tolist()
        names = [name_of_class("latent_map(class_names)", kind, class_names) for kind in shown]
        bar.ax.set_yticklabels([shorten(name, 150, SMALL) for name in names])
        bar.ax.set_title("class", size=SMALL)
        return
    handles, names = [], []
    for i, (kind, colour) in enumerate(zip(kinds, class_colours(len(kinds)), strict=True)):
        name = name_of_class("latent_map(class_names)", int(kind), class_names)
        # A leading underscore would hide the entry.
        names.append("\u200b" * name.startswith("_") + shorten(name, 150, SMALL))
        group = i // len(PALETTE)
        if axes.patches:  # a histogram
            hatch = _HATCHES[group]
            handles.append(Patch(facecolor=colour, edgecolor="white", lw=0, hatch=hatch))
        else:
            handles.append(Line2D([], [], ls="", marker=_MARKERS[group], color=colour, ms=6))
    legend = axes.legend(
        handles, names, title="class", loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0
    )
    legend.get_title().set_fontsize(SMALL)
    legend.set_alignment("left")
