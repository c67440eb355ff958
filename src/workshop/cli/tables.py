"""What commands print: sentences, and sections of an evaluation as tables."""

import shlex
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workshop.generative_models.core.metrics import metric_of

if TYPE_CHECKING:  # it brings scikit-learn, which training can do without
    from workshop.generative_models.evaluation.sections import Section

console = Console()


def say(text: str) -> None:
    """Print text as it is: names of folders may hold what rich takes for markup."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def suggested(*words: object) -> str:
    """Return a `workshop` command as it can be typed, with quoted paths."""
    return shlex.join(["workshop", *map(str, words)])


def folding_table(*columns: str, **options: Any) -> Table:
    """Return a table whose long words are continued on the next line, and never cut."""
    table = Table(**options)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def list_data(_: object) -> None:
    """Print the data sets."""
    from workshop.generative_models.data import list_datasets

    # Names of data and of extras, which users type, stay on one line at any width.
    table = folding_table("name", "examples", "shape", "classes", "extra", "what it is")
    table.columns[0].no_wrap = table.columns[4].no_wrap = True
    for name, info in list_datasets().items():
        classes = "" if info.num_classes is None else str(info.num_classes)
        shape = "×".join(map(str, info.shape))
        table.add_row(
            name, f"{info.examples:,}", shape, classes, info.extra or "", info.description
        )
    console.print(table)
    say(
        "data with an extra needs it: pip install 'workshop-vae[EXTRA]'\n"
        "or a path: a .npy or .npz file, or a folder of images (folders inside become classes)\n"
        "or hf:NAME_OR_PATH, a Hugging Face data set (pip install 'workshop-vae[hf]')"
    )


def say_verdicts(verdicts: list[str]) -> None:
    """Print what is wrong, and what helps."""
    for verdict in verdicts:
        console.print(f"[bold yellow]![/] {escape(verdict)}", highlight=False, soft_wrap=True)


def say_section(section: "Section") -> None:
    """Print a section's figures and notes."""
    table = folding_table(
        "figure", "value ± error", "n", "how", title=section.title, title_justify="left"
    )
    table.columns[1].justify = table.columns[2].justify = "right"
    for key, figure in section.figures.items():
        table.add_row(
            escape(metric_of(key).label), str(figure), f"{figure.n:,}", escape(figure.estimator)
        )
    console.print(table)
    for note in section.notes:
        say(note)
