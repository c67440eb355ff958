"""One look for every figure: fonts, colours, sizes, headings.

Figures are built and saved inside `styled`, so that neither a user's matplotlibrc changes them nor
they change anybody's settings. Lengths are in pixels at `DPI`, the size a figure is saved in.
"""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, wraps
from typing import Literal, ParamSpec, TypeVar

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

DPI = 100
MARGIN = 14
INK, QUIET, RULE = "#222222", "#666666", "#cccccc"
FIRST, _SECOND = "#3f90da", "#bd1f01"
ACCENT = "#e76300"
BAD = "#ff00c8"
"""Drawn in place of values that are not finite; no grey and no common picture has it."""
PALETTE = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
"""Ten colours told apart with colour-vision deficiencies (Petroff 2021, arXiv:2107.02270)."""
_TITLE, TEXT, SMALL = 11.0, 9.5, 8.5

_STYLE = {
    "figure.dpi": DPI,
    "savefig.dpi": "figure",
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans"],
    "font.size": TEXT,
    # A class may be called "$5": text is text, never a formula.
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": TEXT,
    "axes.labelsize": SMALL,
    "axes.linewidth": 0.72,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.72,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "lines.linewidth": 1.5,
    "hatch.linewidth": 0.6,
}

Number = int | float
"""`float` alone would refuse integers where types are checked at run time."""
P = ParamSpec("P")
T = TypeVar("T")


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Run `function` under `_STYLE` over matplotlib's defaults, then restore the settings."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.style.context(["default", _STYLE]):
            return function(*args, **kwargs)

    return call


def open_figure(
    width: Number, height: Number, layout: Literal["constrained"] | None = None
) -> Figure:
    """Return an empty figure of `width` × `height` pixels that pyplot knows nothing of."""
    # A hair more: the backend cuts 114.99999 pixels to 114.
    size = ((round(width) + 1e-6) / DPI, (round(height) + 1e-6) / DPI)
    figure = Figure(figsize=size, dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


@cache
def _ruler() -> RendererAgg:
    """Return something to measure text with."""
    return FigureCanvasAgg(Figure(figsize=(1, 1), dpi=DPI)).get_renderer()


@lru_cache(maxsize=4096)
def text_width(text: str, size: Number = TEXT) -> Number:
    """Return the width of one line of text in pixels."""
    renderer = _ruler()
    font = FontProperties(family=["DejaVu Sans"], size=size)
    return renderer.get_text_width_height_descent(text or " ", font, ismath=False)[0]


def shorten(text: str, width: Number, size: Number = TEXT) -> str:
    """Cut one line of text to `width` pixels, an ellipsis at its end."""
    text = text.replace("\n", " ")
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, width: Number, size: Number = TEXT) -> list[str]:
    """Break text at its spaces into lines of at most `width` pixels."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(shorten(word, width, size))
    return lines


def heading_lines(title: str, notes: Sequence[str], width: Number) -> list[tuple[str, Number, str]]:
    """Return what a heading says in `width` pixels, as lines of (text, size, colour)."""
    lines = [(line, _TITLE, INK) for line in wrap(title, width, _TITLE)]
    return lines + [(line, SMALL, QUIET) for note in notes for line in wrap(note, width, SMALL)]


def heading_height(lines: Sequence[tuple[str, Number, str]]) -> Number:
    """Return the pixels that a heading takes, the space below it included."""
    return sum(round(size * 1.8) for _, size, _ in lines) + 8 * bool(lines)


def write_heading(figure: Figure, lines: Sequence[tuple[str, Number, str]]) -> None:
    """Write a heading into the top left corner of a figure."""
    width, height = figure.get_size_inches() * DPI
    top = MARGIN
    for text, size, colour in lines:
        line = figure.text(MARGIN / width, 1 - top / height, text, va="top", size=size, c=colour)
        line.set_in_layout(False)
        top += round(size * 1.8)


def open_chart(width: Number, height: Number, title: str, notes: Sequence[str] = ()) -> Figure:
    """Return a figure with a heading and `width` × `height` pixels below it for axes."""
    lines = heading_lines(title, notes, width - 2 * MARGIN)
    top = MARGIN + heading_height(lines)
    figure = open_figure(width, height + top, layout="constrained")
    share = height / (height + top)
    engine = figure.get_layout_engine()
    assert engine is not None
    pad = MARGIN / 2 / DPI
    engine.set(rect=(0, 0, 1, share), w_pad=pad, h_pad=pad)  # pyright: ignore[reportCallIssue]
    write_heading(figure, lines)
    return figure


def settled(figure: Figure) -> Figure:
    """Return a chart laid out for good: every later drawing puts all where the first one did."""
    for _ in range(2):  # the second pass sees the limits and tick labels that the first one made
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure
