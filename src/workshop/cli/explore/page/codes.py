"""The map of an example's codes: a click takes a place, another one the code that it gets."""

import colorsys
from math import prod
from typing import Any

import numpy as np
from nicegui import ui

from workshop.cli.explore.page.latents import PointPanel
from workshop.cli.explore.page.widgets import BUTTON, Clickable, heading, told
from workshop.cli.explore.pictures import RGB, Sheet, paint, sheet_of
from workshop.cli.explore.view import View
from workshop.generative_models.visualization.style import ACCENT

SIDE = 288
"""Pixels of the code map."""
_ALTERNATIVES = 16
"""Codes that are offered for a place."""
_MOST_NUMBERED = 12
"""Columns up to which the codes' numbers are written into their places."""


class CodePanel:
    """The codes of the point as coloured places; what they are is changed by a click."""

    def __init__(self, view: View):
        self.view, self.session = view, view.session
        shape = self.session.code_shape
        # Vectors without a map are one row; further axes (vectors of a place, stages) are layers.
        self.rows, self.columns = (1, *shape)[-2:] if len(shape) < 2 else shape[:2]
        self.layers = prod(shape[2:])
        self.tile = max(6, SIDE // max(self.rows, self.columns))
        # The middle, where a code shows: many images have the same edges.
        self.place = self.rows // 2 * self.columns + self.columns // 2
        self.offered = np.zeros(0, int)
        self.sheet: Sheet | None = None
        with ui.row().classes("gap-8 items-start w-full"):
            with ui.column().classes("items-center"):
                PointPanel(view)
            with ui.column().classes("gap-2"):
                heading("Codes", "click a place to change it")
                self.map = Clickable("code map", self._taken)
                self._controls()
            with ui.column().classes("gap-2 grow"):
                heading("What other codes would make", "the most frequent at this place first")
                self.offer = Clickable("alternatives", self._chosen)
        view.on_point.append(self.refresh)
        self.refresh()

    def _controls(self) -> None:
        with ui.row().classes("items-center gap-2"):
            self.layer = ui.select(
                list(range(self.layers)), value=0, label="layer", on_change=told(self.refresh)
            )
            self.layer.classes("w-20").set_visibility(self.layers > 1)
            size = self.session.num_codes
            self.number = ui.number("code", value=0, min=0, max=size - 1).classes("w-24")
            self.number.on("keydown.enter", told(self._numbered))
            ui.button("Set", on_click=told(self._numbered)).props(BUTTON)
            ui.label(f"of {size:,}").classes("text-xs text-gray-500")

    @property
    def index(self) -> int:
        """Where the place and layer are in the codes, flattened."""
        return self.place * self.layers + int(self.layer.value)

    def refresh(self) -> None:
        """Draw the codes, and what others would make at the place that is taken."""
        codes = self.view.codes
        if codes is None:
            return
        grid = codes.reshape(self.rows * self.columns, self.layers)[:, int(self.layer.value)]
        self.map.show(np.full((self.rows * self.tile, self.columns * self.tile, 3), 255, np.uint8))
        self.map.element.set_content(self._drawing(grid))
        self.number.set_value(int(codes.reshape(-1)[self.index]))
        self.offered = self.session.alternatives(codes, self.index, _ALTERNATIVES)
        if not len(self.offered):
            self.offer.element.set_visibility(False)
            return
        tried = np.stack([self.view.with_code(self.index, int(code)) for code in self.offered])
        self.sheet, tiles = self._offer(tried)
        self.offer.element.set_visibility(True)
        self.offer.show(self.sheet.draw(tiles))
        self.offer.element.set_content(_numbers(self.sheet, self.offered))

    def _offer(self, tried: np.ndarray) -> tuple[Sheet, list[RGB]]:
        pictures = paint(self.session.decode_codes(tried), self.session.scale)
        return sheet_of(pictures, columns=8, size=64)

    def _drawing(self, grid: np.ndarray) -> str:
        """Return the places as SVG: a colour a code, and its number where there is room."""
        side, parts = self.tile, []
        for i, code in enumerate(grid.tolist()):
            y, x = (side * n for n in divmod(i, self.columns))
            parts.append(
                f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="{_colour(code)}" '
                'stroke="white"/>'
            )
            if self.columns <= _MOST_NUMBERED:
                parts.append(
                    f'<text x="{x + side / 2}" y="{y + side / 2}" text-anchor="middle" '
                    f'dominant-baseline="central" font-size="{side // 4}" fill="#222">{code}</text>'
                )
        y, x = (side * n for n in divmod(self.place, self.columns))
        parts.append(
            f'<rect x="{x + 2}" y="{y + 2}" width="{side - 4}" height="{side - 4}" fill="none" '
            f'stroke="{ACCENT}" stroke-width="4"/>'
        )
        return "".join(parts)

    def _taken(self, x: float, y: float) -> None:
        sheet = Sheet(self.columns, self.tile, self.tile, gap=0)
        place = sheet.at(x, y, self.rows * self.columns)
        if place is not None:
            self.place = place
            self.refresh()

    def _chosen(self, x: float, y: float) -> None:
        tile = None if self.sheet is None else self.sheet.at(x, y, len(self.offered))
        if tile is not None:
            self._set(int(self.offered[tile]))

    def _numbered(self) -> None:
        if self.number.value is None or self.number.value != int(self.number.value):
            raise ValueError(f"code {self.number.value}: expected a whole number")
        self._set(int(self.number.value))

    def _set(self, code: int) -> Any:
        self.view.set_codes(self.view.with_code(self.index, code))


def _numbers(sheet: Sheet, codes: np.ndarray) -> str:
    """Return the number of each tile's code as SVG, in its corner, readable on black and white."""
    found = []
    for i, code in enumerate(codes.tolist()):
        x, y = sheet.corner(i)
        found.append(
            f'<text x="{x + 3}" y="{y + 3}" dominant-baseline="hanging" font-size="11" '
            f'fill="white" stroke="#222" stroke-width="3" paint-order="stroke">{code}</text>'
        )
    return "".join(found)


def _colour(code: int) -> str:
    """Return a colour for a code: far from those of its neighbours, and light under text."""
    red, green, blue = colorsys.hls_to_rgb(code * 0.6180339887 % 1, 0.72, 0.6)
    return f"rgb({255 * red:.0f},{255 * green:.0f},{255 * blue:.0f})"
