"""Draws the layers of the package, as the import contract in pyproject.toml has them.

    python docs/figures_layers.py [OUT.png]

What a layer is, is the first line of its docstring.
"""

import ast
import sys
import tomllib
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

ROOT = Path(__file__).parents[1]
INK, PAPER, ROOM, EDGE = "#1f2430", "#ffffff", "#e8eaf6", "#3f51b5"
ROOF = ("workshop.cli", "workshop.estimator", "workshop.hub", "workshop.card")


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


def draw(path: Path) -> None:
    """Draw the layers, the topmost first; each may import from those below it."""
    rows = [name for line in layers() for name in line]
    figure, axes = plt.subplots(figsize=(9.2, 0.42 * len(rows) + 0.35), dpi=100)
    axes.set(xlim=(0, 100), ylim=(len(rows) + 0.1, -0.25))
    axes.axis("off")
    place = 0
    for line in layers():
        height = len(line)
        axes.add_patch(
            plt.Rectangle(
                (3, place + 0.07), 96.5, height - 0.14, facecolor=ROOM, edgecolor=EDGE, linewidth=1
            )
        )
        for name in line:
            short = name.rpartition(".")[2]
            weight = "normal" if name in ROOF else "bold"
            axes.text(4.5, place + 0.5, short, va="center", color=INK, fontsize=10, weight=weight)
            axes.text(21.5, place + 0.5, purpose(name), va="center", color=INK, fontsize=8.5)
            place += 1
    axes.annotate(
        "",
        xy=(1.2, len(rows) - 0.1),
        xytext=(1.2, 0.1),
        arrowprops={"arrowstyle": "->", "color": EDGE, "linewidth": 1.6},
    )
    buffer = BytesIO()
    figure.savefig(buffer, facecolor=PAPER, bbox_inches="tight", pad_inches=0.08)
    plt.close(figure)
    Image.open(buffer).convert("RGB").quantize(32).save(path, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "figures" / "layers.png")
