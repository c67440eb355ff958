"""Grids of examples: as they are, beside their reconstructions, class by class."""

from collections.abc import Iterable, Sequence
from itertools import groupby

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..core.checks import positive_int
from .arrays import class_labels, examples, name_of_class, texts, vector
from .scales import Limits, scale_of
from .sheet import Sheet, draw_sheet, grid_places
from .style import styled


@styled
def image_grid(
    images: ArrayLike,
    columns: int | None = None,
    titles: Iterable[object] | None = None,
    *,
    title: str = "",
    limits: Limits | None = None,
) -> Figure:
    """Draw examples row by row, images as images and vectors as steps.

    One channel is drawn in grey, three as red, green and blue, and of any other number the mean
    over the channels in grey. Values within [0, 1] (and up to 0.1 outside, clipped) are pixels;
    otherwise all pictures share one scale from the lowest value to the highest, with a colour bar,
    each channel alike. 8-bit integers are divided by 255. Values that are not finite are drawn in
    magenta and counted below the title.

    Args:
        images: (n, height, width, channels), or (n, features) of a table.
        columns: pictures a row; by default about a square.
        titles: one text above each picture.
        title: the heading of the figure.
        limits: values drawn as black and as white (for vectors: the heights), instead of the above.

    Raises:
        ValueError: if an argument is not as said.

    Examples:
        >>> figure = image_grid(np.linspace(0, 1, 6 * 64).reshape(6, 8, 8, 1), columns=3)
        >>> len(figure.axes[0].images)
        6
    """
    return _plain_grid("image_grid", images, columns, titles, title, limits)


def _plain_grid(
    call: str,
    images: ArrayLike,
    columns: int | None,
    titles: Iterable[object] | None,
    title: str,
    limits: Limits | None,
) -> Figure:
    array = examples(f"{call}(images)", images)
    scale = scale_of(call, array, limits)
    captions = [] if titles is None else texts(f"{call}(titles)", titles, len(array))
    sheet = Sheet(
        examples=array,
        places=grid_places(call, array, columns),
        scale=scale,
        title=title,
        above=dict(enumerate(captions)),
    )
    return draw_sheet(sheet)


@styled
def reconstructions(
    originals: ArrayLike,
    reconstructed: ArrayLike,
    labels: ArrayLike | None = None,
    errors: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    columns: int | None = None,
    title: str = "Originals and their reconstructions",
    names: tuple[str, str] = ("Original", "Reconstruction"),
    limits: Limits | None = None,
) -> Figure:
    """Draw each original above its reconstruction, both on the scale of the originals.

    Vectors are drawn as steps, each reconstruction with the line of its original over it. Drawing
    is otherwise as in `image_grid`.

    Args:
        originals: (n, height, width, channels) or (n, features).
        reconstructed: what the model made of them, in the same shape.
        labels: (n,) whole numbers, the class of each, written above the pair.
        errors: (n,) reconstruction losses in nats, written below the pair.
        class_names: names by label, written instead of the numbers.
        columns: pairs a row, by default at most 10.
        title: the heading of the figure.
        names: what the upper and the lower one of a pair are called.
        limits: as in `image_grid`.

    Raises:
        ValueError: if shapes or lengths differ, or an argument is not as said.

    Examples:
        >>> figure = reconstructions(np.eye(8)[None, ..., None], np.full((1, 8, 8, 1), 0.1))
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['Original', 'Reconstruction']
    """
    call = "reconstructions"
    first = examples(f"{call}(originals)", originals)
    second = examples(f"{call}(reconstructed)", reconstructed)
    if first.shape != second.shape:
        raise ValueError(
            f"{call}(reconstructed): expected the shape of originals {first.shape}, "
            f"got {second.shape}"
        )
    n = len(first)
    classes, losses, notes = _pair_captions(n, labels, errors, class_names)
    scale = scale_of(call, first, limits)
    notes += ["The dark line over a reconstruction is its original."] if first.ndim == 2 else []
    wide = min(positive_int(f"{call}: columns", 10 if columns is None else columns), n)
    blocks = [divmod(i, wide) for i in range(n)]
    rows = range(2 * blocks[-1][0] + 2)
    sheet = Sheet(
        examples=np.concatenate([first, second]),
        places=[(2 * b, c) for b, c in blocks] + [(2 * b + 1, c) for b, c in blocks],
        scale=scale,
        title=title,
        notes=notes,
        row_labels={row: names[row % 2] for row in rows},
        above=dict(enumerate(classes)),
        below={n + i: loss for i, loss in enumerate(losses)},
        last_of_group=set(rows[1:-1:2]),
        shadows={n + i: i for i in range(n)},
    )
    return draw_sheet(sheet)


def _pair_captions(
    n: int, labels: ArrayLike | None, errors: ArrayLike | None, class_names: Sequence[str] | None
) -> tuple[list[str], list[str], list[str]]:
    """Return what stands above and below each pair, and a note that says so."""
    names, losses, notes = [], [], []
    if labels is not None:
        classes = class_labels("reconstructions(labels)", labels, n).tolist()
        names = [name_of_class("reconstructions(class_names)", c, class_names) for c in classes]
        notes.append("Above each pair: its class.")
    if errors is not None:
        nats = vector("reconstructions(errors)", errors, n)
        form = ".1f" if 10 <= np.abs(nats).max() < 1e5 else ".3g"
        losses = [f"{error:{form}}" for error in nats]
        notes.append("Below each pair: its reconstruction loss in nats.")
    return names, losses, [" ".join(notes)]


@styled
def samples(
    images: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    columns: int | None = None,
    title: str = "Samples from the model",
    limits: Limits | None = None,
) -> Figure:
    """Draw what a model made up: a grid, or with labels one row a class.

    Args:
        images: (n, height, width, channels) or (n, features).
        labels: (n,) whole numbers, the class that each sample was asked for. Classes come in
            increasing order, the samples of one in the order given.
        class_names: names by label, written instead of the numbers.
        columns: pictures a row; by default about a square, or with labels at most 12. A class
            with more goes on in further rows.
        title: the heading of the figure.
        limits: as in `image_grid`, which says how pictures are drawn.

    Raises:
        ValueError: if an argument is not as said.

    Examples:
        >>> figure = samples(np.zeros((4, 8, 8, 1)), labels=[1, 0, 1, 0], class_names=["no", "yes"])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['no', 'yes']
    """
    if labels is None:
        return _plain_grid("samples", images, columns, None, title, limits)
    array = examples("samples(images)", images)
    classes = class_labels("samples(labels)", labels, len(array))
    most = int(np.unique(classes, return_counts=True)[1].max())
    wide = positive_int("samples: columns", min(most, 12) if columns is None else columns)
    order = np.argsort(classes, kind="stable")
    places, names, ends, row = [], {}, set(), 0
    for label, members in groupby(classes[order].tolist()):
        name = name_of_class("samples(class_names)", label, class_names)
        names[row] = name if class_names else f"Class {name}"
        block = [(row + i // wide, i % wide) for i, _ in enumerate(members)]
        places += block
        ends |= {block[-1][0]} if most > wide else set()
        row = block[-1][0] + 1
    scale = scale_of("samples", array, limits)
    sheet = Sheet(
        examples=array[order],
        places=places,
        scale=scale,
        title=title,
        row_labels=names,
        last_of_group=ends,
    )
    return draw_sheet(sheet)
