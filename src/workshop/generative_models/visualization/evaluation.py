"""The page of an evaluation, in one file: verdicts, tables and figures, or several runs' tables."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from ..core.metrics import metric_of
from ..evaluation.comparison import Compared
from ..evaluation.sections import Section
from .files import png

_PLACES = {
    "reconstructions": ("reconstructions",),
    "latents": ("kl_per_latent", "traversals", "latent_map", "interpolations"),
    "codes": ("codebook_usage", "code_maps", "traversals", "latent_map", "interpolations"),
    "samples_pca": ("samples",),
    "copying": ("neighbours",),
}
"""Which figures stand under which section."""


class _Row(NamedTuple):
    """Cells of a table, and which of them to mark as the best."""

    cells: Sequence[str]
    best: Sequence[int] = ()


class _Part(NamedTuple):
    """A part of a page: a table, notes and figures under a heading."""

    title: str
    head: Sequence[str] = ()
    rows: Sequence[_Row] = ()
    numbers: Sequence[int] = ()
    """Columns that hold numbers, which stand to the right."""
    notes: Sequence[str] = ()
    figures: Sequence[Figure] = ()


def _page(title: str, parts: Sequence[_Part], verdicts: Sequence[str] | None, **about: Any) -> str:
    """Return a page of HTML with its figures inside; no verdicts are a good sign, None no sign."""
    environment = Environment(
        loader=PackageLoader("workshop.generative_models.visualization"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["png_base64"] = lambda figure: b64encode(png(figure)).decode()
    template = environment.get_template("page.html.jinja")
    return template.render(title=title, verdicts=verdicts, tables=parts, **about)


def run_page(
    title: str,
    sections: Mapping[str, Section],
    figures: Iterable[tuple[str, Figure]],
    *,
    about: Sequence[str] = (),
    command: str = "",
) -> str:
    """Return the page of one run, with the sections of `summary.evaluate` and `run_figures`.

    Figures that belong to no section come last.
    """
    left, parts = dict(figures), []
    for name, section in sections.items():
        stems = _PLACES.get(name, ())
        mine = [key for stem in stems for key in left if key == stem or _numbered(key, stem)]
        rows = [
            _Row([metric_of(key).label, str(figure), f"{figure.n:,}", figure.estimator])
            for key, figure in section.figures.items()
        ]
        head, drawn = ("figure", "value ± standard error", "n", "how"), [left.pop(k) for k in mine]
        parts.append(_Part(section.title, head, rows, (1, 2), section.notes, drawn))
    if left:
        parts.append(_Part("Training", figures=list(left.values())))
    verdicts = [verdict for section in sections.values() for verdict in section.verdicts]
    return _page(title, parts, verdicts, about=about, command=command)


def _numbered(key: str, stem: str) -> bool:
    """Say whether a figure is that of one of several codebooks."""
    return stem == "codebook_usage" and key.startswith("codebook_") and key.endswith("_usage")


def comparison_page(
    rows: Sequence[Compared], runs: Sequence[str], titles: Mapping[str, str], *, command: str = ""
) -> str:
    """Return the page of several runs, whose rows `compare` returned; titles are of sections."""
    parts = []
    for section, group in groupby(rows, key=lambda row: row.section):
        table = [
            _Row(
                [metric_of(row.name).label + ("" if row.alike else " †"), *map(shown, row.figures)],
                [i + 1 for i in row.best],
            )
            for row in group
        ]
        numbers = range(1, len(runs) + 1)
        parts.append(_Part(titles.get(section, section), ("figure", *runs), table, list(numbers)))
    about = [
        "The best of a figure is marked, with those within two standard errors of it.",
        "† Estimated in different ways, of other data or under another likelihood: not compared.",
    ]
    return _page("Runs compared", parts, None, about=about, command=command)


def shown(figure: object) -> str:
    """Return a figure as text; a dash for none."""
    return "-" if figure is None else str(figure)
