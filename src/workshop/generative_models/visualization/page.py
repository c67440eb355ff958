"""A page of tables and figures in one file, which needs nothing else to be read."""

import base64
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from matplotlib.figure import Figure

from .files import png


@dataclass(frozen=True)
class Row:
    """Cells of a table, and which of them to mark as the best."""

    cells: Sequence[str]
    best: Sequence[int] = ()


@dataclass(frozen=True)
class Part:
    """A part of a page: a table, notes and figures under a heading."""

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Row] = ()
    numbers: Sequence[int] = ()
    """Columns that hold numbers, which stand to the right."""
    notes: Sequence[str] = ()
    figures: Sequence[Figure] = field(default=())

    @property
    def pictures(self) -> list[dict[str, str]]:
        """The figures as a page holds them."""
        return [
            {
                "title": figure.texts[0].get_text() if figure.texts else "",
                "png": base64.b64encode(png(figure)).decode(),
            }
            for figure in self.figures
        ]


def page(
    title: str,
    parts: Sequence[Part],
    *,
    about: Sequence[str] = (),
    command: str = "",
    verdicts: Sequence[str] | None = None,
) -> str:
    """Return a page of HTML with its figures inside.

    Args:
        title: the heading.
        parts: what the page shows, in order.
        about: lines under the heading.
        command: what made the page.
        verdicts: what is wrong, in sentences; none are a good sign, None leaves the box out.

    Examples:
        >>> text = page("A & B", [Part("Numbers", ["a"], [Row(["<1>"])])], verdicts=[])
        >>> "A &amp; B" in text, "&lt;1&gt;" in text, "None of the checks" in text
        (True, True, True)
    """
    return _template().render(
        title=title, about=about, command=command, verdicts=verdicts, tables=parts
    )


@functools.cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("workshop.generative_models.visualization"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")
