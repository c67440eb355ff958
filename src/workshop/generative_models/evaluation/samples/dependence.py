"""Whether reconstructions depend on the input, or are one and the same for every example."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ...data import Split
from .. import outputs
from ..estimates import Estimate
from ..passes import Progress, condition_of

NEGLIGIBLE = 0.01
"""Share of the data's variance below which reconstructions are said not to depend on the input."""
WORSE = 1.1
"""Squared error, in that of the data's mean, above which a constant reconstruction is not even the
mean: the decoder is stuck."""
EXAMPLES, VALUES = 1000, 2**26
"""How many examples are looked at, at most, and how many values of these."""


def input_dependence(
    x: ArrayLike, reconstructions: ArrayLike, groups: ArrayLike | None = None
) -> dict[str, Estimate]:
    r"""Return how much reconstructions r vary with the input x, and how much of x they explain.

        reconstruction_variance = Σ_i ‖r_i - r̄‖² / Σ_i ‖x_i - x̄‖²
        explained_variance = 1 - Σ_i ‖x_i - r_i‖² / Σ_i ‖x_i - x̄‖²

    The first is 0 if all reconstructions are alike. The second is 1 if they are perfect, 0 for the
    data's mean, and negative for what is worse than that. Columns of flat data have units of their
    own and are divided by their standard deviations; pixels share one unit.

    Args:
        x: (n, *event), n >= 2.
        reconstructions: of the same shape.
        groups: (n, ...) what the model is told beside x, such as the class: means are then those of
            the examples that are told the same, so that only what x itself adds counts.

    Raises:
        ValueError: if shapes differ, numbers are not finite, or the examples are all alike.

    Examples:
        >>> x = np.array([[0.0], [2.0]])
        >>> {k: v.value for k, v in input_dependence(x, [[0.5], [1.5]]).items()}
        {'reconstruction_variance': 0.25, 'explained_variance': 0.75}
    """
    data, made = (np.asarray(a, np.float64) for a in (x, reconstructions))
    if data.ndim < 2 or data.shape != made.shape:
        raise ValueError(
            f"input_dependence: x has shape {data.shape} and reconstructions {made.shape}: "
            "expected the same, (n, *event)"
        )
    if not (np.isfinite(data).all() and np.isfinite(made).all()):
        raise ValueError("input_dependence: expected finite numbers, got NaN or infinity")
    flat, n = data.ndim == 2, len(data)
    if groups is not None and np.shape(groups)[:1] != (n,):
        raise ValueError(
            f"input_dependence: groups has shape {np.shape(groups)}: expected one row for each of "
            f"{n} examples"
        )
    data, made = data.reshape(n, -1), made.reshape(n, -1)
    told = np.zeros((n, 1)) if groups is None else np.asarray(groups).reshape(n, -1)
    group = np.unique(told, axis=0, return_inverse=True)[1].reshape(-1)
    of_data, of_made = _centred(data, group), _centred(made, group)
    spread = np.sqrt(np.mean(np.square(of_data), 0))
    varies = spread > np.finfo(np.float32).eps * np.abs(data).max(0)  # more than rounding
    if not varies.any():
        among = "" if groups is None else " among those that the model is told the same of"
        raise ValueError(
            f"input_dependence: the examples are all alike{among}: nothing to depend on"
        )
    unit = spread[varies] if flat else 1.0

    def squares(values: np.ndarray) -> np.ndarray:
        return np.square(values[:, varies] / unit).sum(1)

    whole = squares(of_data)
    text = "ratio of sums over examples"
    varying = _ratio(squares(of_made), whole, text)
    error = _ratio(squares(data - made), whole, text)
    explained = Estimate(1 - error.value, error.standard_error, n, f"1 - {text}")
    return {"reconstruction_variance": varying, "explained_variance": explained}


def dependence_of(model: Any, split: Split, *, progress: Progress = iter) -> dict[str, Estimate]:
    """Return `input_dependence` of a model on the first examples of a split."""
    split = split.take(slice(max(2, min(EXAMPLES, VALUES // max(split.x[0].size, 1)))))
    made = outputs.reconstructions(model, split, progress=progress)["x"]
    seen = split.take(slice(len(made)))  # fewer, if it was cut short
    told = next(iter(condition_of(model, seen).values())) if model.conditional else None
    return input_dependence(outputs.scaled(np.asarray(seen.x)), made, told)


def dependence_verdict(
    figures: dict[str, Estimate], model: Any, command: str | None = None
) -> str | None:
    """Say that reconstructions do not depend on the input, with what helps; None if they do.

    Args:
        figures: of `input_dependence`.
        model: that made the reconstructions.
        command: that trains the model for longer, if it is known.
    """
    share, error = figures["reconstruction_variance"].value, 1 - figures["explained_variance"].value
    if share >= NEGLIGIBLE:
        return None
    longer = "train for longer" if command is None else f"train for longer ({command})"
    flat = getattr(model.likelihood, "link", None) in (jax.nn.sigmoid, jnp.tanh)
    if error > WORSE and flat:
        remedy = (
            "the decoder is stuck, most likely where its output activation is flat: train anew "
            "with a lower learning rate or clip_norm; for data in [0, 1] with likelihood='bce', "
            "whose gradient does not vanish there; for other data with output_activation='identity'"
        )
    elif error > WORSE:
        remedy = f"the decoder has not reached the data's mean yet: {longer}"
    elif model.has_codes:
        remedy = (
            f"the codes say nothing of the examples: {longer}, begin the codes by k-means "
            "(kmeans) and revive dead ones (revive_below), or lower the learning rate"
        )
    else:
        remedy = (
            f"the latents say nothing of the examples: {longer}, lower beta, warm it up, or "
            "set free_bits"
        )
    return (
        f"reconstructions do not depend on the input (their variance over examples is {share:.2g} "
        f"of the data's, their squared error {error:.2f} times that of the data's mean): {remedy}"
    )


def _centred(
    values: Float[np.ndarray, "n features"], group: np.ndarray
) -> Float[np.ndarray, "n features"]:
    """Return values less the mean of their group."""
    sums = np.zeros((group.max() + 1, values.shape[1]))
    np.add.at(sums, group, values)
    return values - (sums / np.bincount(group)[:, None])[group]


def _ratio(above: np.ndarray, below: np.ndarray, text: str) -> Estimate:
    """Return Σ above / Σ below; the error is the ratio estimator's, to first order."""
    n, value = len(above), float(above.sum() / below.sum())
    error = float((above - value * below).std(ddof=1) / np.sqrt(n) / below.mean())
    return Estimate(value, error, n, text)
