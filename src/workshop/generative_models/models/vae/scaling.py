"""A warning about training data that is far from unit scale."""

import logging

import numpy as np

from workshop.generative_models.core.moments import Moments

_LARGE, SMALL = 10.0, 0.01
"""Where a feature is far from unit scale: a root mean square above the one, or, of a column in flat
data, a spread below the other."""
NAMED = 5
"""How many columns a warning names."""


def warn_of_scale(moments: Moments) -> None:
    """Name in the log the features of the training data that are far from unit scale."""
    found = far_from_unit(moments)
    if found is not None:
        logging.getLogger("workshop").warning(
            "%s; training will be slow or fail: build the model with standardize=True (and "
            "likelihood='gaussian' or 'laplace'), or standardise the data, for example by "
            "scikit-learn's StandardScaler",
            found,
        )


def far_from_unit(moments: Moments) -> str | None:
    """Name the features that networks and a scale of unit size do not suit; None if there are none.

    Examples:
        >>> from workshop.generative_models.core.moments import moments_of
        >>> far_from_unit(moments_of([np.array([[0.0, 1e4], [1.0, 3e4]])]))
        '1 of 2 features of the training data are far from unit scale: 1 (2e+04 ± 1e+04)'
    """
    mean, spread = moments.mean, moments.spread
    off = np.hypot(mean, spread) > _LARGE
    if mean.ndim == 1:
        off |= (spread > 0) & (spread < SMALL)
    elif 0 < spread.max() < SMALL:  # single pixels may be nearly constant
        off |= spread > 0
    if not off.any():
        return None
    return (
        f"{off.sum()} of {off.size} features of the training data are far from unit scale: "
        f"{_described(moments, off)}"
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
