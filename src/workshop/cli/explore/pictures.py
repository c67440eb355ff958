"""Examples to small pictures for a page: pixels, sheets of tiles, PNG and GIF."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, ImageDraw

from workshop.generative_models.visualization.arrays import examples
from workshop.generative_models.visualization.scales import Scale, to_pixels
from workshop.generative_models.visualization.style import FIRST

RGB = UInt8[np.ndarray, "_ _ 3"]
VECTOR = (96, 160)
"""Height and width of the picture of a vector."""
_BETWEEN = 238
"""Grey between tiles."""


def paint(x: Shaped[np.ndarray, "n ..."], scale: Scale) -> UInt8[np.ndarray, "n h w 3"]:
    """Return images of examples pixel by pixel, and vectors as a step plot from left to right.

    Args:
        x: (n, height, width, channels) or (n, features), as data or as a model decodes it.
        scale: the values of black and white, or of the bottom and the top of a plot.
    """
    array = examples("explore", x)
    if array.ndim == 2:
        return np.stack([_steps(vector, scale) for vector in array])
    return np.stack([_pixels(image, scale) for image in array])


def _pixels(image: Float[np.ndarray, "h w c"], scale: Scale) -> RGB:
    drawn = to_pixels(image, scale)
    if drawn.ndim == 2:  # grey is given in values, colours between 0 and 1
        drawn = np.repeat(((drawn - scale.low) / (scale.high - scale.low))[..., None], 3, axis=-1)
    return np.round(255 * np.nan_to_num(drawn)).astype(np.uint8)


def _steps(vector: Float[np.ndarray, " d"], scale: Scale) -> RGB:
    height, width = VECTOR
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    clipped = np.clip(np.nan_to_num(np.append(vector, 0.0)), *scale)
    tops = 3 + (height - 7) * (scale.high - clipped) / (scale.high - scale.low)
    edges = np.linspace(0, width, len(vector) + 1)
    for left, right, top in zip(edges[:-1], edges[1:], tops[:-1], strict=True):
        low, high = sorted((top, tops[-1]))
        draw.rectangle((left, low, max(left, right - 1), high), fill=FIRST)
    draw.line((0, tops[-1], width, tops[-1]), fill="#666666")
    return np.asarray(image)


def sized(picture: RGB, size: int) -> RGB:
    """Return a picture resized to about `size` pixels; it grows by whole multiples only."""
    high, wide = picture.shape[:2]
    longer = max(high, wide)
    if longer <= size:
        times = round(size / longer)
        return picture.repeat(times, axis=0).repeat(times, axis=1)
    shape = (max(1, round(wide * size / longer)), max(1, round(high * size / longer)))
    return np.asarray(Image.fromarray(picture).resize(shape, Image.Resampling.BOX))


@dataclass(frozen=True)
class Sheet:
    """Tiles of `height` by `width` pixels, `columns` in a row, each with a margin of `gap`."""

    columns: int
    height: int
    width: int
    gap: int = 3

    @property
    def _step(self) -> tuple[int, int]:
        """From one tile to the next: downwards, and to the right."""
        return self.height + 2 * self.gap, self.width + 2 * self.gap

    def draw(self, tiles: Sequence[np.ndarray]) -> RGB:
        """Return the tiles on light grey, which parts them."""
        rows = -(-len(tiles) // self.columns)
        high, wide = self._step
        sheet = np.full((rows * high, self.columns * wide, 3), _BETWEEN, np.uint8)
        for i, tile in enumerate(tiles):
            left, top = self.corner(i)
            sheet[top : top + self.height, left : left + self.width] = tile
        return sheet

    def corner(self, number: int) -> tuple[int, int]:
        """Return x and y of a tile's upper left corner."""
        high, wide = self._step
        row, column = divmod(number, self.columns)
        return column * wide + self.gap, row * high + self.gap

    def at(self, x: float, y: float, count: int) -> int | None:
        """Return which of `count` tiles is at a point, or None.

        Examples:
            >>> sheet = Sheet(columns=2, height=8, width=8, gap=1)
            >>> sheet.at(15, 5, 3), sheet.at(15, 15, 3)
            (1, None)
        """
        high, wide = self._step
        column, row = int(x // wide), int(y // high)
        number = row * self.columns + column
        inside = 0 <= column < self.columns and row >= 0 and number < count
        return number if inside else None


def sheet_of(
    pictures: UInt8[np.ndarray, "n h w 3"], columns: int, size: int, gap: int = 3
) -> tuple[Sheet, list[RGB]]:
    """Return a sheet for pictures, and its tiles: the pictures with about `size` pixels a side."""
    tiles = [sized(picture, size) for picture in pictures]
    high, wide = tiles[0].shape[:2]
    return Sheet(columns, high, wide, gap), tiles


def png(picture: RGB) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    file = BytesIO()
    Image.fromarray(picture).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def gif(pictures: UInt8[np.ndarray, "n h w 3"], size: int, milliseconds: int = 80) -> bytes:
    """Return frames as the bytes of a GIF that plays forwards and backwards in a loop."""
    there = [Image.fromarray(sized(picture, size)) for picture in pictures]
    back, file = there[-2:0:-1], BytesIO()
    there[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=there[1:] + back,
        duration=milliseconds,
        loop=0,
    )
    return file.getvalue()


def url(content: bytes, kind: str = "png") -> str:
    """Return the bytes of a picture as an address that holds them, so that nothing is fetched."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
