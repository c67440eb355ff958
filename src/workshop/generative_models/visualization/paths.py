"""Walks through the latent space: along one latent, or from one example to another."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from .arrays import examples, vector, whole
from .scales import Limits, scale_of
from .sheet import Sheet, draw_sheet
from .style import styled


def _rows_sheet(
    call: str, images: ArrayLike, title: str, limits: Limits | None
) -> tuple[Sheet, int, int]:
    """Return a sheet of (rows, steps, ...) examples without labels, and its rows and steps."""
    array = examples(f"{call}(images)", images, "rows, steps")
    rows, steps = array.shape[:2]
    flat: Float[np.ndarray, "n ..."] = array.reshape(rows * steps, *array.shape[2:])
    scale = scale_of(call, flat, limits)
    places = [divmod(i, steps) for i in range(rows * steps)]
    return Sheet(examples=flat, places=places, scale=scale, title=title), rows, steps


@styled
def traversals(
    images: ArrayLike,
    latents: ArrayLike,
    kl: ArrayLike | None,
    values: ArrayLike,
    *,
    title: str = "What each latent changes",
    limits: Limits | None = None,
) -> Figure:
    """Draw one row a latent: what the decoder makes while that latent alone moves.

    Args:
        images: (rows, steps, height, width, channels) or (rows, steps, features).
        latents: (rows,) the latent that moves in each row.
        kl: (rows,) its KL divergence from the prior in nats, or None to leave it out.
        values: (steps,) the values that it takes.
        title: the heading of the figure.
        limits: as in `image_grid`, which says how pictures are drawn.

    Raises:
        ValueError: if shapes or lengths do not fit together, or numbers are not finite.

    Examples:
        >>> figure = traversals(np.zeros((1, 3, 8, 8, 1)), [3], [2.1], [-2, 0, 2])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['z3  KL 2.1 nats', '-2', '0', '2']
    """
    sheet, rows, steps = _rows_sheet("traversals", images, title, limits)
    where = "traversals(latents)"
    numbers = whole(where, latents)
    if numbers.shape != (rows,) or numbers.min() < 0:
        raise ValueError(
            f"{where}: expected one latent >= 0 for each row of images, shape ({rows},), "
            f"got {numbers.tolist()}"
        )
    names = [f"z{number}" for number in numbers]
    if kl is not None:
        nats = vector("traversals(kl)", kl, rows)
        names = [f"{name}  KL {value:.2g} nats" for name, value in zip(names, nats, strict=True)]
    moves = vector("traversals(values)", values, steps)
    sheet.notes.insert(0, "One row a latent: it takes the values above, all others stay.")
    sheet.row_labels = dict(enumerate(names))
    # Adding 0.0 turns -0.0 into 0.0.
    sheet.column_labels = {i: f"{round(value, 2) + 0.0:g}" for i, value in enumerate(moves)}
    return draw_sheet(sheet)


@styled
def interpolations(
    images: ArrayLike,
    *,
    title: str = "From one example to another through the latent space",
    limits: Limits | None = None,
) -> Figure:
    """Draw one row a pair of examples, from the first to the second, the two ends framed.

    Columns are labelled with the share of the way, as for equal steps.

    Args:
        images: (rows, steps, height, width, channels) or (rows, steps, features), steps >= 2.
        title: the heading of the figure.
        limits: as in `image_grid`, which says how pictures are drawn.

    Raises:
        ValueError: if `images` have another rank or fewer than 2 steps.

    Examples:
        >>> figure = interpolations(np.zeros((1, 3, 8, 8, 1)))
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['start', '50%', 'end']
    """
    sheet, rows, steps = _rows_sheet("interpolations", images, title, limits)
    if steps < 2:
        raise ValueError("interpolations(images): expected at least 2 steps, the ends, got 1")
    between = {i: f"{i / (steps - 1):.0%}" for i in range(1, steps - 1)}
    sheet.column_labels = {0: "start", **between, steps - 1: "end"}
    starts = range(0, rows * steps, steps)
    sheet.framed = {end for start in starts for end in (start, start + steps - 1)}
    sheet.notes.insert(0, "Framed: the two ends.")
    return draw_sheet(sheet)
