"""The map: examples as points of the latent space, and where the person is among them."""

from typing import Any

import numpy as np
from matplotlib.colors import to_hex
from nicegui import ui

from workshop.cli.explore.page.widgets import LINK, heading, told
from workshop.cli.explore.view import View
from workshop.generative_models.visualization.latents import MANY, class_colours
from workshop.generative_models.visualization.style import FIRST, INK, PALETTE

KINDS = {"active": "the two most active latents", "pca": "principal components", "pair": "a pair"}
_MOST_CHOICES = 256
"""Latents that a list can be chosen from; of more, the most active ones."""
FEW = 500
"""Points up to which each is a shape of its own."""
WHOLE = {"start": 0, "end": 100}
"""Percent of an axis in sight."""
_TOOLTIP = """(point) => {
  if (point.seriesId === 'here') return 'you are here';
  const box = document.createElement('div'), image = document.createElement('img');
  image.src = '/examples/' + point.data[2] + '.png';
  image.style = 'height: 96px; image-rendering: pixelated; display: block';
  box.append(image, 'example ' + point.data[2] + (NAMED ? ', class ' + point.seriesName : ''));
  return box;
}"""
_PRESSED = "(event) => { getElement(ID).pressed = [event.clientX, event.clientY]; }"
_EMPTY_CLICK = """(event) => {
  const map = getElement(ID), chart = map.chart, at = [event.offsetX, event.offsetY];
  const [x, y] = map.pressed;
  if (Math.hypot(event.clientX - x, event.clientY - y) > 4) return;
  if (!chart.containPixel('grid', at) || chart.getZr().handler.findHover(...at).target) return;
  emit(chart.convertFromPixel('grid', at));
}"""
"""A click on a point is an event of its own; one at the end of a drag is none."""


class MapPanel:
    """A scatter of the examples; a click goes to the example, or to the empty place, clicked."""

    def __init__(self, view: View):
        self.view, self.session = view, view.session
        latents = self.session.means.shape[1]
        kinds = KINDS if latents > 1 else {"active": "the only latent"}
        shown = f"{len(self.session.x):,} test examples in the latent space"
        if self.session.discrete:
            shown += ", by their encodings before quantization"
        heading("Map of the data", shown)
        with ui.row().classes("items-center gap-3 w-full"):
            self.kind = ui.select(kinds, value="active", label="axes", on_change=told(self.redraw))
            self.kind.classes("w-56")
            self.pair = [self._latent_choice(name, i) for i, name in enumerate("xy")]
        self.plane = self.session.plane("active")
        self.chart = ui.echart(self._options(), on_point_click=told(self._point_clicked))
        self.chart.classes("w-full").style("height: 430px").props["aria-label"] = "map"
        pressed, clicked = (
            script.replace("ID", str(self.chart.id)) for script in (_PRESSED, _EMPTY_CLICK)
        )
        self.chart.on("mousedown", js_handler=pressed)
        self.chart.on("click", told(self._place_clicked), js_handler=clicked)
        with ui.row().classes("items-center gap-2 no-wrap w-full"):
            ui.label(
                "Click a point to choose that example, or an empty place to decode it: the axes' "
                "latents go there, the others stay. The wheel zooms, dragging moves."
            ).classes("text-xs text-gray-500")
            ui.button("Whole map", on_click=self._zoom_out).props(LINK).classes("shrink-0")
        view.on_point.append(self.mark)

    def _latent_choice(self, name: str, number: int) -> Any:
        dims = self.session.order if not self.session.discrete else None
        every = range(self.session.means.shape[1]) if dims is None else dims
        choices = {dim: self.session.latent_name(dim) for dim in list(every)[:_MOST_CHOICES]}
        first = list(choices)[min(number, len(choices) - 1)]
        choice = ui.select(choices, value=first, label=name, on_change=told(self.redraw))
        return choice.classes("w-28").bind_visibility_from(self.kind, "value", value="pair")

    def redraw(self) -> None:
        """Draw the map on the axes that are chosen."""
        pair = (self.pair[0].value, self.pair[1].value)
        self.plane = self.session.plane(self.kind.value, pair)
        self.chart.options.clear()
        self.chart.options.update(self._options())

    def _zoom_out(self) -> None:
        whole = [{"dataZoomIndex": axis, **WHOLE} for axis in range(2)]
        self.chart.run_chart_method("dispatchAction", {"type": "dataZoom", "batch": whole})

    def mark(self) -> None:
        """Move the mark of where the person is; the points are not sent again."""
        series = [{"id": "here", "data": [self._here()]}]
        self.chart.run_chart_method("setOption", {"series": series})

    def _here(self) -> list[float]:
        """Return where the mark stands: at the map's edge for a point beyond it."""
        points = self.plane.coordinates(self.session.means)
        there = self.plane.coordinates(self.view.z[None])[0]
        return [
            float(np.clip(value, *_ends(values)))
            for value, values in zip(there, points.T, strict=True)
        ]

    def _point_clicked(self, event: Any) -> None:
        if len(event.data) > 2:  # not the mark
            self.view.choose(self.session.example(int(event.data[2])))

    def _place_clicked(self, event: Any) -> None:
        x, y = map(float, event.args)
        self.view.move(self.plane.moved(self.view.z, (x, y)))

    def _options(self) -> dict[str, Any]:
        points = self.plane.coordinates(self.session.means)
        names = (*self.plane.names, "")
        tooltip = _TOOLTIP.replace("NAMED", "true" if self.session.y is not None else "false")
        here = {
            "id": "here",
            "type": "scatter",
            "symbol": "pin",
            "symbolSize": 30,
            "itemStyle": {"color": INK, "borderColor": "white", "borderWidth": 1.5},
            "z": 10,
            "data": [self._here()],
        }
        return {
            "animation": False,
            "grid": {"left": 50, "right": 16, "top": 44, "bottom": 46},
            "legend": {"top": 0, "type": "scroll", "itemWidth": 12, "itemHeight": 10},
            "tooltip": {"trigger": "item", ":formatter": tooltip, "padding": 6},
            **{key: _axis(name, values)
               for key, name, values in zip(("xAxis", "yAxis"), names, points.T, strict=False)},
            "dataZoom": [
                # Points out of sight are kept, or those on a border would come and go.
                {"type": "inside", axis: 0, "filterMode": "none", **WHOLE}
                for axis in ("xAxisIndex", "yAxisIndex")
            ],
            "series": [*self._series(points), here],
        }  # fmt: skip

    def _series(self, points: np.ndarray) -> list[dict[str, Any]]:
        numbered = np.column_stack([points.round(4), np.arange(len(points))])
        size, many = float(np.clip(120 / len(points) ** 0.4, 4, 9)), len(points) > FEW
        if self.session.y is None:
            return [_scatter("examples", numbered, FIRST, "circle", size, many=many)]
        labels = np.unique(self.session.y)
        colours = class_colours(int(labels.max()) + 1)
        return [
            _scatter(
                self.session.name(int(label)),
                numbered[self.session.y == label],
                to_hex(colours[label]),
                "triangle" if len(colours) <= MANY and label >= len(PALETTE) else "circle",
                size,
                many=many,
            )
            for label in labels
        ]


def _scatter(
    name: str, points: np.ndarray, colour: str, symbol: str, size: float, *, many: bool
) -> dict[str, Any]:
    return {
        "id": f"class {name}",
        "name": name,
        "type": "scatter",
        "symbol": symbol,
        "symbolSize": size,
        "itemStyle": {"color": colour, "opacity": 0.75},
        # One shape in place of one for each point: whenever the mark moves, all are drawn again.
        "large": many,
        "largeThreshold": 1,
        "data": points.tolist(),
    }


def _axis(name: str, values: np.ndarray) -> dict[str, Any]:
    low, high = _ends(values)
    style = {"lineStyle": {"color": "#eeeeee"}}
    return {
        "type": "value",
        "name": name,
        "nameLocation": "middle",
        "nameGap": 28,
        "scale": True,
        "min": low,
        "max": high,
        "axisLabel": {"showMinLabel": False, "showMaxLabel": False},
        "axisLine": {"onZero": False},
        "axisTick": {"show": False},
        "splitLine": style,
    }


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of an axis."""
    low, high = float(values.min()), float(values.max())
    pad = 0.08 * (high - low) or 1.0
    return round(low - pad, 3), round(high + pad, 3)
