"""The page of an evaluation: verdicts, tables and figures of one run, or tables of several."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from matplotlib.figure import Figure

from workshop.generative_models.core.metrics import metric_of
from workshop.generative_models.evaluation.comparison import Compared
from workshop.generative_models.evaluation.sections import Section

from .page import Part, Row, page

_PLACES = {
    "reconstructions": ("reconstructions",),
    "latents": ("kl_per_latent", "traversals", "latent_map", "interpolations"),
    "codes": ("codebook_usage", "code_maps", "traversals", "latent_map", "interpolations"),
    "samples_pca": ("samples",),
    "copying": ("neighbours",),
}
"""Which figures stand under which section."""


def run_page(
    title: str,
    sections: Mapping[str, Section],
    figures: Iterable[tuple[str, Figure]],
    *,
    about: Sequence[str] = (),
    command: str = "",
) -> str:
    """Return the page of one run.

    Args:
        title: the heading.
        sections: by name, as `evaluation.summary.evaluate` yields them.
        figures: by name, as `report.run_figures` yields them; those that belong to no section come
            last.
        about: lines under the heading.
        command: what made the page.
    """
    left = dict(figures)
    parts = []
    for name, section in sections.items():
        stems = _PLACES.get(name, ())
        mine = [key for stem in stems for key in left if key == stem or _numbered(key, stem)]
        rows = [
            Row([metric_of(key).label, str(figure), f"{figure.n:,}", figure.estimator])
            for key, figure in section.figures.items()
        ]
        parts.append(
            Part(
                section.title,
                ("figure", "value ± standard error", "n", "how"),
                rows,
                numbers=(1, 2),
                notes=section.notes,
                figures=[left.pop(key) for key in mine],
            )
        )
    if left:
        parts.append(Part("Training", figures=list(left.values())))
    verdicts = [verdict for section in sections.values() for verdict in section.verdicts]
    return page(title, parts, about=about, command=command, verdicts=verdicts)


def _numbered(key: str, stem: str) -> bool:
    """Say whether a figure is that of one of several codebooks."""
    return stem == "codebook_usage" and key.startswith("codebook_") and key.endswith("_usage")


def comparison_page(
    rows: Sequence[Compared], runs: Sequence[str], titles: Mapping[str, str], *, command: str = ""
) -> str:
    """Return the page of several runs.

    Args:
        rows: as `evaluation.comparison.compare` returns them.
        runs: names of the runs.
        titles: of the sections by name.
        command: what made the page.
    """
    parts = []
    for section, group in groupby(rows, key=lambda row: row.section):
        table = [
            Row(
                [metric_of(row.name).label + ("" if row.alike else " †"), *map(shown, row.figures)],
                [i + 1 for i in row.best],
            )
            for row in group
        ]
        numbers = range(1, len(runs) + 1)
        parts.append(Part(titles.get(section, section), ("figure", *runs), table, list(numbers)))
    about = [
        "The best of a figure is marked, with those within two standard errors of it.",
        "† Estimated in different ways, of other data or under another likelihood: not compared.",
    ]
    return page("Runs compared", parts, about=about, command=command)


def shown(figure: object) -> str:
    """Return a figure as text; a dash for none."""
    return "-" if figure is None else str(figure)
