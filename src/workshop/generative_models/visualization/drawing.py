"""Drawing a sheet of small pictures.

All that is on a sheet stands in one axes whose unit is a pixel of the saved file. A pixel of an
image covers a whole number of those, so that pictures are neither smoothed nor uneven.
"""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D

from .scales import to_pixels
from .sheet import LABEL, LINE, Geometry, Sheet
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
    open_figure,
    shorten,
    write_heading,
)

_Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels from the top left corner."""
_ONE_PIXEL = 72 / DPI
"""The width of a line of one pixel, in points."""


def draw_sheet(sheet: Sheet) -> Figure:
    """Draw a sheet; its pictures are artists in the order of its examples."""
    at = Geometry(sheet)
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
    """Draw one image."""
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


def _write_labels(axes: Axes, sheet: Sheet, at: Geometry) -> None:
    """Write the texts of rows, columns and examples."""

    def write(x: Number, y: Number, text: str, where: str = "center") -> None:
        text = shorten(text, LABEL, SMALL)
        axes.text(x, y, text, size=SMALL, ha=where, va="center_baseline")

    for row, text in sheet.row_labels.items():
        write(MARGIN, at.corner(row, 0)[1] + at.height / 2, text, "left")
    for column, text in sheet.column_labels.items():
        write(at.corner(0, column)[0] + at.width / 2, at.top - LINE / 2 - 1, text)
    for texts, shift in ((sheet.above, -LINE / 2 - 1), (sheet.below, at.height + LINE / 2)):
        for i, text in texts.items():
            left, top = at.corner(*sheet.places[i])
            write(left + at.width / 2, top + shift, text)


def _draw_bar(figure: Figure, sheet: Sheet, at: Geometry, colours: Colormap) -> None:
    """Draw the colour bar to the right of the pictures."""
    assert at.bar is not None
    height = max(80, min(at.bottom - at.top, 200))
    bottom = at.full_height - at.top - height
    axes = figure.add_axes(
        (
            at.bar / at.full_width,
            bottom / at.full_height,
            12 / at.full_width,
            height / at.full_height,
        ),
        label="scale",
    )
    bar = figure.colorbar(ScalarMappable(Normalize(*sheet.scale), colours), cax=axes)
    ticks = MaxNLocator(4, integer=sheet.whole_numbers, min_n_ticks=1)
    bar.ax.yaxis.set_major_locator(ticks)
    bar.ax.set_title(sheet.bar_label, size=SMALL, loc="left", pad=5)
    bar.outline.set_linewidth(_ONE_PIXEL)  # pyright: ignore
