"""Whether a program that was written gives what its model does."""

import jax
import numpy as np

from workshop.generative_models.export.functions import BATCH, Function
from workshop.generative_models.export.loading import ExportedFunction

TOLERANCE = 1e-5
BATCHES = (1, 3)
"""Sizes of the batches that programs are compared with the model on."""


def difference(function: Function, exported: ExportedFunction) -> float:
    """Return the largest difference of a program from its model's method, as in `Manifest`.

    Raises:
        ValueError: if it is more than 1e-5, or a code differs.
    """
    drawn, largest = function.draw(max(BATCHES)), 0.0
    expected = [np.asarray(array) for array in jax.jit(function.run)(*drawn)]
    for batch in BATCHES:
        arrays = [
            a[:batch] if BATCH in t.shape else a
            for a, t in zip(drawn, function.inputs, strict=True)
        ]
        found = exported(*arrays)
        found = found if isinstance(found, tuple) else (found,)
        for name, a, b in zip(function.outputs, found, expected, strict=True):
            apart = _apart(a, b[:batch])
            if not apart <= (0 if b.dtype.kind == "i" else TOLERANCE):
                raise ValueError(
                    f"the exported {function.name} of {batch} examples is not the model's: "
                    f"{name} differs by {apart:.2g}, expected at most {TOLERANCE:g}; nothing is "
                    "written"
                )
            largest = max(largest, apart)
    return largest


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    """Return max |found - expected| / max(1, max |expected|); NaN if either is, inf by shape."""
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return float("inf")
    difference = np.abs(found.astype(np.float64) - expected).max()
    return float(difference / max(1.0, np.abs(expected).max()))
