"""Figures to files."""

import os
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from ..core.files import replacing
from .style import styled


@styled
def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, atomically and reproducibly, and return the path.

    With one version of matplotlib the same data gives the same bytes.

    Args:
        figure: any matplotlib figure.
        path: where to write; it must end in `.png`. Missing folders are made.

    Raises:
        ValueError: if `path` does not end in `.png`.

    Examples:
        >>> import tempfile
        >>> from workshop.generative_models.visualization import kl_bars
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(kl_bars([0.1, 2.0]), f"{folder}/figures/kl.png").name
        'kl.png'
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise ValueError(f"save(path={str(path)!r}): expected a name that ends in .png")
    picture = png(figure)
    with replacing(target) as partial:
        partial.write_bytes(picture)
    return target


@styled
def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    picture = BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()
