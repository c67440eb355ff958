"""Training curves: small multiples, one panel a quantity."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..core.metrics import ALIASES, METRICS, NONE, Metric, metric_of
from .style import (
    ACCENT,
    BAD,
    DPI,
    FIRST,
    INK,
    MARGIN,
    PALETTE,
    open_chart,
    settled,
    shorten,
    styled,
)

_NOT_METRICS = {"step", "split", "epoch"}
_DOMINATES = 4.0
"""A value farther than this many ranges of the middle 90% from that middle is left out."""


class Curve(NamedTuple):
    """One quantity on one split."""

    steps: Float[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]


def _number(value: Any) -> float | None:
    """Return a scalar as a float and None for anything else."""
    if value is None:  # a number that was not finite: JSON has no NaN
        return float("nan")
    if isinstance(value, bool | str | bytes):
        return None
    try:
        return None if np.ndim(value) else float(value)
    except (TypeError, ValueError):
        return None


def curves_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Curve]]:
    """Return curves by metric and split, the steps of each in increasing order."""
    if not len(rows):
        raise ValueError("training_curves(rows): expected at least one row of metrics, got none")
    points: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for i, row in enumerate(rows):
        step = _number(row.get("step"))
        if step is None or not np.isfinite(step):
            raise ValueError(
                f"training_curves(rows): expected rows[{i}]['step'] to be a number, "
                f"got {row.get('step')!r}"
            )
        for key, value in row.items():
            value = None if key in _NOT_METRICS else _number(value)
            if value is not None:
                splits = points.setdefault(key, {})
                splits.setdefault(str(row.get("split") or "train"), []).append((step, value))
    curves = {}
    for key, splits in points.items():
        ordered = {split: sorted(pairs, key=lambda p: p[0]) for split, pairs in splits.items()}
        curves[key] = {s: Curve(*np.array(pairs).T) for s, pairs in ordered.items()}
    return curves


def choose_metrics(curves: Mapping[str, object], metrics: Sequence[str] | None) -> list[str]:
    """Return the panels to draw, those of `METRICS` first."""
    if metrics is not None:
        missing = [key for key in metrics if key not in curves]
        if missing or not len(metrics):
            raise ValueError(
                f"training_curves(metrics={list(metrics)}): expected some of "
                f"{', '.join(sorted(curves))}"
            )
        return list(metrics)
    keys = [key for key in curves if ALIASES.get(key) not in curves]
    order = list(METRICS)
    keys.sort(key=lambda key: order.index(key) if key in METRICS else len(order))
    if not keys:
        raise ValueError("training_curves(rows): expected at least one number besides the step")
    return keys


def varies(curves: Mapping[str, Curve]) -> bool:
    """Say whether a metric changes by more than the rounding of means in float32."""
    values = np.concatenate([curve.values for curve in curves.values()])
    values = values[np.isfinite(values)]
    return not values.size or bool(np.ptp(values) > 1e-5 * np.abs(values).max()) or len(values) < 2


def panel_title(metric: Metric) -> str:
    """Return the title of a metric's panel."""
    label = metric.label
    if label[:1].isascii():
        label = label[:1].upper() + label[1:]
    return f"{label} (higher is better)" if metric.larger_is_better else label


def axis_limits(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Return limits of an axis on which a few far values do not flatten all others."""
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    inner_low = np.percentile(values, 5, method="higher")
    inner_high = np.percentile(values, 95, method="lower")
    if inner_high > inner_low:
        reach = _DOMINATES * (inner_high - inner_low)
        values = values[(values >= inner_low - reach) & (values <= inner_high + reach)]
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or max(abs(low), 1.0) * 0.1
    return low - margin, high + margin


@styled
def training_curves(
    rows: Sequence[Mapping[str, Any]],
    *,
    metrics: Sequence[str] | None = None,
    title: str = "Training",
    own: Mapping[str, Metric] = NONE,
) -> Figure:
    """Draw every metric against the step, one panel each, the splits as lines.

    Losses are in nats per example. A few values far from all others are left outside the axis;
    triangles at its edge show where, and a note how many and how far. Values that are not finite
    leave a gap and a magenta mark at the bottom.

    Args:
        rows: as in `metrics.jsonl`: each with "step", "split" ("train" where missing) and any
            numbers; None, as JSON's null, stands for one that was not finite. Rows need not have
            the same keys, nor come in order.
        metrics: keys to draw, in this order; by default all numbers except "step", "split" and
            "epoch", and except a repetition such as "total_loss" beside "loss".
        title: the heading of the figure.
        own: the metrics that the model declares, `model.metrics`.

    Raises:
        ValueError: if there are no rows or no numbers, a step is missing, or `metrics` has a key
            that no row has.

    Examples:
        >>> rows = [{"step": s, "split": "train", "elbo": -100 + s, "beta": 1.0} for s in range(9)]
        >>> [axes.get_title(loc="left") for axes in training_curves(rows).axes]
        ['ELBO (higher is better)', 'β, the weight of the KL']
    """
    curves = curves_of(rows)
    keys = choose_metrics(curves, metrics)
    found = {split for key in keys for split in curves[key]}
    splits = sorted(found, key=lambda s: (s != "train", s != "validation", s))
    colours = {"train": FIRST, "validation": ACCENT}
    others = (PALETTE[i % len(PALETTE)] for i in (4, 8, 5, 7, *range(len(splits))))
    colours |= {split: next(others) for split in splits if split not in colours}
    columns = min(3, len(keys)) if len(keys) != 4 else 2
    lines = -(-len(keys) // columns)
    figure = open_chart(max(330 * columns, 420), 215 * lines, title)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, key in zip(grid.flat, keys, strict=False):
        drawn = {split: curves[key][split] for split in splits if split in curves[key]}
        _draw_panel(axes, metric_of(ALIASES.get(key, key), own), drawn, colours)
    for axes in list(grid.flat)[len(keys) :]:
        axes.remove()
    figure.align_ylabels()
    _write_legend(figure, {split: colours[split] for split in splits})
    return settled(figure)


def _draw_panel(
    axes: Axes, metric: Metric, curves: Mapping[str, Curve], colours: Mapping[str, str]
) -> None:
    axes.set_title(shorten(panel_title(metric), 250))
    axes.set_ylabel(metric.unit)
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    for split, (steps, values) in curves.items():
        few = np.isfinite(values).sum() <= 30
        (line,) = axes.plot(steps, values, c=colours[split], label=split)
        line.set(marker="o" if few else "", markersize=3.5)
    first = min(curve.steps[0] for curve in curves.values())
    last = max(curve.steps[-1] for curve in curves.values())
    pad = 0.03 * (last - first) or 1.0
    limits = axis_limits(np.concatenate([curve.values for curve in curves.values()]))
    axes.set(xlim=(first - pad, last + pad), ylim=limits)
    _mark_hidden(axes, curves, colours)


def _mark_hidden(axes: Axes, curves: Mapping[str, Curve], colours: Mapping[str, str]) -> None:
    """Show where points lie outside the axis or are not finite, and say how many."""
    low, high = axes.get_ylim()
    above, below, bad = [], [], 0
    for split, (steps, values) in curves.items():
        for outside, far, marker, edge in (
            (values > high, above, "^", 1.0),
            (values < low, below, "v", 0.0),
        ):
            outside &= np.isfinite(values)
            far.extend(values[outside])
            _mark(axes, steps[outside], edge, marker, colours[split])
        missing = ~np.isfinite(values)
        bad += int(missing.sum())
        _mark(axes, steps[missing], 0.0, "x", BAD)
    said = [f"▲ {len(above)} above, up to {max(above):.4g}"] if above else []
    said += [f"▼ {len(below)} below, down to {min(below):.4g}"] if below else []
    said += [f"✕ {bad} not finite"] if bad else []
    axes.set_xlabel("\n".join(["step", *said]))


def _mark(axes: Axes, steps: np.ndarray, edge: float, marker: str, colour: str) -> None:
    """Put markers at the top (1) or at the bottom (0) of an axis."""
    if len(steps):
        across = axes.get_xaxis_transform()
        style = {"c": colour, "marker": marker, "ls": "", "ms": 6, "clip_on": False, "zorder": 5}
        axes.plot(steps, np.full(len(steps), edge), transform=across, label="_mark", **style)


def _write_legend(figure: Figure, colours: Mapping[str, str]) -> None:
    """Name the splits in the top right corner, each in its colour."""
    handles = [Line2D([], [], color=colour, lw=2.5) for colour in colours.values()]
    width, height = figure.get_size_inches() * DPI
    corner = (1 - MARGIN / width, 1 - (MARGIN - 4) / height)
    look = {"ncols": len(colours), "borderaxespad": 0, "labelcolor": INK}
    legend = figure.legend(handles, list(colours), loc="upper right", bbox_to_anchor=corner, **look)
    legend.set_in_layout(False)
