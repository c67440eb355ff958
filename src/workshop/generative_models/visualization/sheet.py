"""Sheets of small pictures: what is on them and where each goes, pixel by pixel."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil

import numpy as np
from jaxtyping import Float

from .scales import Scale, scale_notes
from .style import MARGIN, SMALL, heading_height, heading_lines, shorten, text_width

_GAP, _BREAK, LINE = 5, 14, 16
"""Pixels between pictures, between groups of rows, and of one line of text."""
LABEL = 170
"""Pixels at which a label is cut."""
_BAR = 74
"""Pixels that a colour bar takes with its numbers."""


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


class Geometry:
    """Every position on a sheet, in pixels from its top left corner."""

    def __init__(self, sheet: Sheet):
        self.rows = max(row for row, _ in sheet.places) + 1
        self.columns = max(column for _, column in sheet.places) + 1
        self.width, self.height = _cell_size(sheet.examples.shape[1:], self.rows, self.columns)
        texts = [*sheet.column_labels.values(), *sheet.above.values(), *sheet.below.values()]
        widest = max((text_width(shorten(t, LABEL, SMALL), SMALL) for t in texts), default=0)
        self.pitch = max(self.width, ceil(widest) + 4) + _GAP
        labels = [text_width(shorten(t, LABEL, SMALL), SMALL) for t in sheet.row_labels.values()]
        self.left = MARGIN + (ceil(max(labels)) + 10 if labels else 0)
        right = self.left + self.columns * self.pitch - _GAP
        self.bar = None if sheet.scale.is_pixels or sheet.examples.ndim == 2 else right + 14
        self.full_width = max(right + (_BAR if self.bar else 0) + MARGIN, 380)
        notes = sheet.notes + scale_notes(sheet.examples, sheet.scale)
        self.heading = heading_lines(sheet.title, notes, self.full_width - 2 * MARGIN)
        band = LINE if sheet.column_labels or self.bar else 0
        self.top = MARGIN + round(heading_height(self.heading)) + band
        above, below = (
            {sheet.places[i][0] for i, text in texts.items() if text}
            for texts in (sheet.above, sheet.below)
        )
        self.above = [LINE * (row in above) for row in range(self.rows)]
        steps = [
            self.above[row]
            + self.height
            + LINE * (row in below)
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
