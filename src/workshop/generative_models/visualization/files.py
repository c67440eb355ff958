"""Figures to files."""

import os
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from ..core.files import replacing
from .style import styled


@styled
def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, atomically and reproducibly.

    The picture is made in memory, written beside `path` and moved into place, so that a reader
    sees the old file or the new one, and a failure leaves the old one. No date and no version goes
    into it: with one version of matplotlib the same data gives the same bytes.

    Args:
        figure: what a function of this package returned (any matplotlib figure will do).
        path: where to write; it must end in `.png`. Missing folders are made.

    Returns:
        The path written.

    Raises:
        ValueError: if `path` does not end in `.png`.

    Examples:
        >>> import numpy as np, tempfile
        >>> from workshop.generative_models.visualization import image_grid, save
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(image_grid(np.zeros((4, 8, 8, 1))), f"{folder}/figures/grid.png").name
        'grid.png'
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
