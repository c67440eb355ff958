"""A warning about training data that is far from unit scale."""

import logging

import numpy as np

from workshop.generative_models.core.moments import Moments

LARGE, SMALL = 10.0, 0.01
"""Where a feature is far from unit scale: a root mean square above the one, or, of a column in flat
data, a spread below the other."""
NAMED = 5
"""How many columns a warning names."""


def warn_of_scale(moments: Moments) -> None:
    """Name in the log the features that a network and a scale of unit size do not suit."""
    mean, spread = moments.mean, moments.spread
    off = np.hypot(mean, spread) > LARGE
    if mean.ndim == 1:
        off |= (spread > 0) & (spread < SMALL)
    elif 0 < spread.max() < SMALL:  # single pixels may be nearly constant
        off |= spread > 0
    if not off.any():
        return
    logging.getLogger("workshop").warning(
        "%d of %d features of the training data are far from unit scale: %s; training will be slow "
        "or fail: build the model with standardize=True (and likelihood='gaussian' or 'laplace'), "
        "or standardise the data, for example by scikit-learn's StandardScaler",
        off.sum(),
        off.size,
        _described(moments, off),
    )


def _described(moments: Moments, off: np.ndarray) -> str:
    """Return the first of the features by name or index, with mean and spread."""
    found = np.argwhere(off)
    named = []
    for index in map(tuple, found[:NAMED].tolist()):
        name = index[0] if len(index) == 1 else index
        if moments.names is not None and len(index) == 1:
            name = repr(moments.names[index[0]])
        named.append(f"{name} ({moments.mean[index]:.3g} ± {moments.spread[index]:.3g})")
    return ", ".join(named) + (", ..." if len(found) > NAMED else "")
