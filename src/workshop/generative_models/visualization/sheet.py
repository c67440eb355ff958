"""Sheets of small pictures: what is on them, where each goes, and how they are drawn.

All that is on a sheet stands in one axes whose unit is a pixel of the saved file. A pixel of an
image covers a whole number of those, so that pictures are neither smoothed nor uneven.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D

from ..core.checks import positive_int
from .scales import Scale, scale_notes, to_pixels
from .style import (
    ACCENT,
    BAD,
    DPI,
    FIRST,
    INK,
    MARGIN,
    RULE,
    SMALL,
    Number,
    heading_height,
    heading_lines,
    open_figure,
    shorten,
    text_width,
    write_heading,
)

_GAP, _BREAK, _LINE = 5, 14, 16
"""Pixels between pictures, between groups of rows, and of one line of text."""
_LABEL = 170
"""Pixels at which a label is cut."""
_BAR = 74
"""Pixels that a colour bar takes with its numbers."""
_Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels from the top left corner."""
_ONE_PIXEL = 72 / DPI
"""The width of a line of one pixel, in points."""


@dataclass(kw_only=True)
class Sheet:
    """What goes where; the texts are by row, by column or by example."""

    examples: Float[np.ndarray, "..."]
    """(n, height, width, channels) or (n, features)."""
    places: list[tuple[int, int]]
    """Row and column of each example."""
    scale: Scale
    title: str
    notes: list[str] = field(default_factory=list)
    row_labels: Mapping[int, str] = field(default_factory=dict)
    column_labels: Mapping[int, str] = field(default_factory=dict)
    above: Mapping[int, str] = field(default_factory=dict)
    below: Mapping[int, str] = field(default_factory=dict)
    framed: Collection[int] = ()
    """Examples with a frame in the accent colour."""
    last_of_group: Collection[int] = ()
    """Rows with a wide gap below them."""
    shadows: Mapping[int, int] = field(default_factory=dict)
    """Vectors drawn with another one, grey, behind them."""
    colours: str = "gray"
    bar_label: str = "value"
    whole_numbers: bool = False
    """Whether the colour bar counts."""


def _cell_size(shape: tuple[int, ...], rows: int, columns: int) -> tuple[int, int]:
    """Return the width and height in pixels of one picture among so many."""
    target = min(max(960 // columns, 40), max(1200 // rows, 64), 160)
    if len(shape) == 1:
        return max(target, min(4 * shape[0], 240), 72), max(target // 2, 48)
    height, width = shape[:2]
    factor = max(1, target // max(height, width))
    # A very long image would be a hair: give it some thickness, within reason.
    factor = max(factor, min(ceil(16 / min(height, width)), 480 // max(height, width)))
    if (shrink := ceil(max(width * columns / 2400, height / 800, width / 1200))) > 1:
        return max(1, round(width / shrink)), max(1, round(height / shrink))
    return width * factor, height * factor


def default_columns(n: int, shape: tuple[int, ...]) -> int:
    """Return the number of columns that makes `n` pictures about square, with few holes."""
    side = ceil(n**0.5)
    width, height = _cell_size(shape, side, side)
    square = ceil((n * (height + _GAP) / (width + _GAP)) ** 0.5)
    options = range(max(1, min(n, square)), min(n, ceil(1.5 * square)) + 1)
    return min(options, key=lambda columns: (-n % columns + columns - square, -columns))


def grid_places(
    call: str, examples: Float[np.ndarray, "..."], columns: int | None
) -> list[tuple[int, int]]:
    """Return the places of examples row by row; messages name `call`."""
    n = len(examples)
    wide = default_columns(n, examples.shape[1:]) if columns is None else columns
    wide = min(positive_int(f"{call}: columns", wide), n)
    return [divmod(i, wide) for i in range(n)]


class _Geometry:
    """Every position on a sheet, in pixels from its top left corner."""

    def __init__(self, sheet: Sheet):
        self.rows = max(row for row, _ in sheet.places) + 1
        self.columns = max(column for _, column in sheet.places) + 1
        self.width, self.height = _cell_size(sheet.examples.shape[1:], self.rows, self.columns)
        texts = [*sheet.column_labels.values(), *sheet.above.values(), *sheet.below.values()]
        widest = max((text_width(shorten(t, _LABEL, SMALL), SMALL) for t in texts), default=0)
        self.pitch = max(self.width, ceil(widest) + 4) + _GAP
        labels = [text_width(shorten(t, _LABEL, SMALL), SMALL) for t in sheet.row_labels.values()]
        self.left = MARGIN + (ceil(max(labels)) + 10 if labels else 0)
        right = self.left + self.columns * self.pitch - _GAP
        self.bar = None if sheet.scale.is_pixels or sheet.examples.ndim == 2 else right + 14
        self.full_width = max(right + (_BAR if self.bar else 0) + MARGIN, 380)
        notes = sheet.notes + scale_notes(sheet.examples, sheet.scale)
        self.heading = heading_lines(sheet.title, notes, self.full_width - 2 * MARGIN)
        band = _LINE if sheet.column_labels or self.bar else 0
        self.top = MARGIN + round(heading_height(self.heading)) + band
        above, below = (
            {sheet.places[i][0] for i, text in texts.items() if text}
            for texts in (sheet.above, sheet.below)
        )
        self.above = [_LINE * (row in above) for row in range(self.rows)]
        steps = [
            self.above[row]
            + self.height
            + _LINE * (row in below)
            + (_BREAK if row in sheet.last_of_group else _GAP)
            for row in range(self.rows)
        ]
        self.tops = list(accumulate(steps[:-1], initial=self.top))
        self.bottom = self.tops[-1] + steps[-1] - _GAP
        self.full_height = max(self.bottom, self.top + 80 * bool(self.bar)) + MARGIN

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Return the left and the top of a picture."""
        spare = (self.pitch - _GAP - self.width) // 2
        return self.left + column * self.pitch + spare, self.tops[row] + self.above[row]


def draw_sheet(sheet: Sheet) -> Figure:
    """Draw a sheet; its pictures are artists in the order of its examples."""
    at = _Geometry(sheet)
    figure = open_figure(at.full_width, at.full_height)
    axes = figure.add_axes((0, 0, 1, 1), label="sheet")
    axes.set(xlim=(0, at.full_width), ylim=(at.full_height, 0))
    axes.set_axis_off()
    colours = matplotlib.colormaps[sheet.colours].with_extremes(bad=BAD)
    for i, place in enumerate(sheet.places):
        box = (*at.corner(*place), at.width, at.height)
        if sheet.examples.ndim == 4:
            _draw_image(axes, sheet, i, box, colours)
        else:
            _draw_vector(axes, sheet, i, box)
        _draw_frame(axes, box, marked=i in sheet.framed)
    _write_labels(axes, sheet, at)
    write_heading(figure, at.heading)
    if at.bar:
        _draw_bar(figure, sheet, at, colours)
    return figure


def _draw_image(axes: Axes, sheet: Sheet, i: int, box: _Box, colours: Colormap) -> None:
    left, top, width, height = box
    pixels = to_pixels(sheet.examples[i], sheet.scale)
    shrunk = width < pixels.shape[1] or height < pixels.shape[0]
    axes.imshow(
        pixels,
        cmap=colours,
        norm=Normalize(*sheet.scale),
        extent=(left, left + width, top + height, top),
        # Only an image larger than its place is averaged: dropping its pixels would show less.
        interpolation="antialiased" if shrunk else "nearest",
    )


def _draw_vector(axes: Axes, sheet: Sheet, i: int, box: _Box) -> None:
    """Draw one vector as steps from left to right, on the heights that all boxes share."""
    left, top, width, height = box
    low, high = sheet.scale
    values = np.clip(sheet.examples[i], low, high)
    values = np.where(np.isfinite(sheet.examples[i]), values, np.nan)
    edges = np.arange(len(values) + 1.0)
    place = (
        Affine2D()
        .translate(0, -high)
        .scale(width / len(values), -(height - 6) / (high - low))
        .translate(left, top + 3)
    )
    zero = float(np.clip(0, low, high))

    def steps(heights: np.ndarray, baseline: float | None, **style: object) -> None:
        patch = StepPatch(heights, edges, baseline=baseline, **style)  # pyright: ignore
        patch.set_transform(place + axes.transData)
        axes.add_artist(patch)

    steps(values, zero, fc=f"{FIRST}66", ec=FIRST, fill=True, lw=_ONE_PIXEL)
    if np.isnan(values).any():
        steps(np.where(np.isnan(values), high, np.nan), low, fc=BAD, ec=BAD, fill=True, lw=0.2)
    if i in sheet.shadows:
        behind = np.clip(sheet.examples[sheet.shadows[i]], low, high)
        steps(behind, None, ec=INK, fill=False, lw=_ONE_PIXEL)


def _draw_frame(axes: Axes, box: _Box, marked: bool) -> None:
    """Draw a ground that shows around a picture as a line of one pixel, or two if marked."""
    left, top, width, height = box
    line = 2 if marked else 1
    frame = Rectangle((left - line, top - line), width + 2 * line, height + 2 * line)
    frame.set(facecolor=ACCENT if marked else RULE, linewidth=0, zorder=-2)
    axes.add_artist(frame)
    axes.add_artist(Rectangle((left, top), width, height, fc="white", lw=0, zorder=-1))


def _write_labels(axes: Axes, sheet: Sheet, at: _Geometry) -> None:

    def write(x: Number, y: Number, text: str, where: str = "center") -> None:
        text = shorten(text, _LABEL, SMALL)
        axes.text(x, y, text, size=SMALL, ha=where, va="center_baseline")

    for row, text in sheet.row_labels.items():
        write(MARGIN, at.corner(row, 0)[1] + at.height / 2, text, "left")
    for column, text in sheet.column_labels.items():
        write(at.corner(0, column)[0] + at.width / 2, at.top - _LINE / 2 - 1, text)
    for texts, shift in ((sheet.above, -_LINE / 2 - 1), (sheet.below, at.height + _LINE / 2)):
        for i, text in texts.items():
            left, top = at.corner(*sheet.places[i])
            write(left + at.width / 2, top + shift, text)


def _draw_bar(figure: Figure, sheet: Sheet, at: _Geometry, colours: Colormap) -> None:
    assert at.bar is not None
    height = max(80, min(at.bottom - at.top, 200))
    bottom = at.full_height - at.top - height
    width, whole = at.full_width, at.full_height
    box = (at.bar / width, bottom / whole, 12 / width, height / whole)
    axes = figure.add_axes(box, label="scale")
    bar = figure.colorbar(ScalarMappable(Normalize(*sheet.scale), colours), cax=axes)
    ticks = MaxNLocator(4, integer=sheet.whole_numbers, min_n_ticks=1)
    bar.ax.yaxis.set_major_locator(ticks)
    bar.ax.set_title(sheet.bar_label, size=SMALL, loc="left", pad=5)
    bar.outline.set_linewidth(_ONE_PIXEL)  # pyright: ignore
