"""Values to brightness: one scale for all the pictures of a figure."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.colors import to_rgb

from .style import BAD, Number

Limits = tuple[Number, Number]
"""The values drawn as black and as white."""
_SLACK = 0.1
"""Values this far outside [0, 1] still count as pixels: Gaussian decoders overshoot a little."""


class Scale(NamedTuple):
    """The values drawn as black and as white; between them brightness is linear."""

    low: float
    high: float

    @property
    def is_pixels(self) -> bool:
        """Whether this is the usual range of pixels, which needs no colour bar."""
        return (self.low, self.high) == (0.0, 1.0)

    def __str__(self) -> str:
        return f"[{self.low:.4g}, {self.high:.4g}]"


def scale_of(where: str, array: Float[np.ndarray, "..."], limits: Limits | None = None) -> Scale:
    """Return `limits` or, without, [0, 1] for pixels and the range of the finite values for others.

    Raises:
        ValueError: if `limits` are not two finite numbers, the lower one first.
    """
    if limits is not None:
        low, high = map(float, limits)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"{where}(limits={limits}): expected two finite numbers, low < high")
        return Scale(low, high)
    values = array[np.isfinite(array)]
    if not values.size or (values.min() >= -_SLACK and values.max() <= 1 + _SLACK):
        return Scale(0.0, 1.0)
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - max(0.5, abs(low) / 2), high + max(0.5, abs(high) / 2)
    return Scale(low, high)


def scale_notes(array: Float[np.ndarray, "..."], scale: Scale) -> list[str]:
    """Say how a figure on this scale is read, and what it does not show as it is."""
    notes = []
    if array.ndim == 2:
        n = array.shape[1]
        count = f"{n:,} values from left to right" if n > 1 else "one value"
        ends = f"{scale.low:.4g} to {scale.high:.4g}"
        notes.append(f"Each box is one example: its {count}, heights from {ends}.")
    elif array.shape[-1] not in (1, 3):
        notes.append(f"Grey is the mean over the {array.shape[-1]} channels.")
    bad = ~np.isfinite(array)
    outside = ((array < scale.low) | (array > scale.high)) & ~bad
    if outside.any():
        ends = "at the edge of their box" if array.ndim == 2 else "as black or white"
        share = f"{outside.mean():.1%}" if outside.mean() >= 0.001 else "Under 0.1%"
        notes.append(f"{share} of the values lie outside {scale} and are drawn {ends}.")
    if bad.any():
        notes.append(f"Magenta: not finite ({bad.sum():,} of {bad.size:,} values).")
    return notes


def to_pixels(image: Float[np.ndarray, "h w c"], scale: Scale) -> Float[np.ndarray, "h w *rgb"]:
    """Return what is drawn of an image: (h, w) values within the scale, or (h, w, 3) colours.

    Values that are not finite become NaN in a grey image and `BAD` in a coloured one.
    """
    bad = np.any(~np.isfinite(image), axis=-1, keepdims=True)
    if image.shape[-1] != 3:
        with np.errstate(invalid="ignore"):
            grey = image[..., 0] if image.shape[-1] == 1 else image.mean(-1)
        return np.where(bad[..., 0], np.nan, np.clip(grey, *scale))
    clipped = np.clip(image, *scale)
    # Pixels keep their exact values: subtracting 0 and dividing by 1 would too, but say it.
    colours = clipped if scale.is_pixels else (clipped - scale.low) / (scale.high - scale.low)
    return np.where(bad, to_rgb(BAD), colours)
