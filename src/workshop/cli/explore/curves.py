"""The curves of a run as charts, from its metrics file, also while it grows."""

from pathlib import Path
from typing import Any

import numpy as np

from workshop.generative_models.core.metrics import metric_of
from workshop.generative_models.tracking.loggers import read_rows
from workshop.generative_models.visualization.curves import (
    Curve,
    axis_limits,
    choose_metrics,
    curves_of,
    panel_title,
    varies,
)
from workshop.generative_models.visualization.style import ACCENT, FIRST, PALETTE

_COLOURS = {"train": FIRST, "validation": ACCENT}


class Curves:
    """Charts of a metrics file, which need not exist yet; read again only when it has changed."""

    def __init__(self, path: Path):
        self.path, self._seen = path, (0, 0)
        self.charts: dict[str, dict[str, Any]] = {}
        """Options of ECharts by metric."""
        self.step = 0
        """The newest step."""

    def changed(self) -> bool:
        """Read the file if it has changed since the last call, and return whether it has."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return False
        found = (stat.st_mtime_ns, stat.st_size)
        if found == self._seen:
            return False
        self._seen = found
        try:
            rows = read_rows(self.path)
            self.charts = charts(rows)
            self.step = max((int(row["step"]) for row in rows), default=0)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"{self.path} is damaged: {error}") from None
        return True


def charts(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a chart for each metric that changes, as ECharts reads it.

    Examples:
        >>> rows = [{"step": s, "split": "train", "elbo": -9.0 + s, "beta": 1.0} for s in (1, 2)]
        >>> found = charts(rows)
        >>> list(found), found["elbo"]["series"][0]["data"]
        (['elbo'], [[1.0, -8.0], [2.0, -7.0]])
    """
    if not rows:
        return {}
    curves = curves_of(rows)
    return {
        key: _chart(key, curves[key]) for key in choose_metrics(curves, None) if varies(curves[key])
    }


def _chart(key: str, curves: dict[str, Curve]) -> dict[str, Any]:
    metric = metric_of(key)
    title, unit = panel_title(metric), metric.unit
    if unit:
        title = f"{title[:-1]}, {unit})" if title.endswith(")") else f"{title} ({unit})"
    return {
        "animation": False,
        "title": {
            "text": title,
            "left": 0,
            "top": 0,
            "padding": 3,
            "textStyle": {"fontSize": 13, "fontWeight": "normal"},
        },
        "grid": {"left": 56, "right": 16, "top": 40, "bottom": 30},
        "legend": {"right": 0, "top": 0, "itemHeight": 8},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "value", "min": 0},
        "yAxis": {"type": "value", "scale": True} | _ends(curves),
        "series": [_series(i, split, curves[split]) for i, split in enumerate(_ordered(curves))],
    }


def _ends(curves: dict[str, Curve]) -> dict[str, Any]:
    """Return ends of an axis where a few far values would flatten all others; else none."""
    values = np.concatenate([curve.values for curve in curves.values()])
    low, high = axis_limits(values)
    inside = (values >= low) & (values <= high)
    if inside[np.isfinite(values)].all():
        return {}
    hidden = {"showMinLabel": False, "showMaxLabel": False}  # no round numbers
    return {"min": low, "max": high, "axisLabel": hidden}


def _ordered(curves: dict[str, Curve]) -> list[str]:
    """Return the splits, those that every run has first."""
    return sorted(curves, key=lambda split: (split not in _COLOURS, split))


def _series(number: int, split: str, curve: Curve) -> dict[str, Any]:
    points = np.stack([curve.steps, curve.values], axis=1).tolist()
    return {
        "name": split,
        "type": "line",
        "showSymbol": len(points) <= 30,
        "symbolSize": 5,
        "lineStyle": {"width": 1.5},
        "itemStyle": {"color": _COLOURS.get(split, PALETTE[(number + 4) % len(PALETTE)])},
        # What is not finite is a gap.
        "data": [[step, value if np.isfinite(value) else None] for step, value in points],
    }
