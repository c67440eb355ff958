"""The layers of the package, as the import contract in pyproject.toml has them.

What a layer is, is the first line of its docstring.
"""

import ast
import tomllib
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from workshop.generative_models.visualization.style import (
    FIRST,
    SMALL,
    TEXT,
    open_figure,
    styled,
    text_width,
)

ROOT = Path(__file__).parents[1]
LINE, LEFT, NAMES = 28, 34, 130
"""Pixels: height of a layer's line, what is left of the boxes, and where purposes begin in them."""


def layers() -> list[list[str]]:
    """Return the layers from the top, each the modules that stand in it side by side."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [[name.strip() for name in line.split("|")] for line in contract["layers"]]


def purpose(module: str) -> str:
    """Return the first line of a module's docstring."""
    path = ROOT / "src" / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    line = (ast.get_docstring(ast.parse(file.read_text())) or "").splitlines()[0]
    return line.rstrip(".").replace("`", "")


@styled
def draw() -> Figure:
    """Draw the layers, the topmost first; each may import from those below it."""
    lines = [{name.rpartition(".")[2]: purpose(name) for name in line} for line in layers()]
    longest = max(text_width(text, SMALL) for line in lines for text in line.values())
    width, height = LEFT + NAMES + longest + 24, LINE * sum(map(len, lines)) + 16
    figure = open_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    y = 8
    for line in lines:
        size = width - LEFT - 8, LINE * len(line) - 4
        style = "round,pad=0,rounding_size=4"
        axes.add_patch(FancyBboxPatch((LEFT, y + 2), *size, style, fc="#f2f6fb", ec=FIRST, lw=1))
        for name, text in line.items():
            middle = y + LINE / 2
            axes.text(LEFT + 10, middle, name, va="center", size=TEXT, weight="bold")
            axes.text(LEFT + NAMES, middle, text, va="center", size=SMALL)
            y += LINE
    ends = (16, 10), (16, height - 10)
    axes.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=12, color=FIRST))
    return figure
