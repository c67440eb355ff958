"""Whether samples are copies of the training data: nearest neighbours, and what they give away."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.metrics import pairwise_distances_argmin

from ..arrays import finite_rows
from ..detection import auroc
from ..estimates import Estimate
from .features import pixels, same_size

_ERRORS = 3
"""Standard errors beyond which chance is not held responsible."""


class Neighbours(NamedTuple):
    """The nearest training example of each sample."""

    indices: Int[np.ndarray, " samples"]
    """Its place in the training data."""
    distances: Float[np.ndarray, " samples"]
    """The Euclidean distance to it."""


def nearest_training_neighbours(samples: ArrayLike, train: ArrayLike) -> Neighbours:
    """Find the training example nearest to each sample, over all values of an example.

    Args:
        samples: (m, ...) samples, or their features.
        train: (n, ...) training examples, or their features.

    Raises:
        ValueError: if either is empty or not finite, or their examples differ in size.

    Examples:
        >>> found = nearest_training_neighbours([[0.0, 1.0], [5.0, 5.0]], [[5.0, 4.0], [0.0, 1.0]])
        >>> found.indices.tolist(), found.distances.tolist()
        ([1, 0], [0.0, 1.0])
    """
    rows = finite_rows("train", pixels(train))
    given = finite_rows("samples", pixels(samples))
    return _nearest(same_size(given, rows.shape[1], "samples"), rows)


def _nearest(x: Float[np.ndarray, "m dim"], among: Float[np.ndarray, "n dim"]) -> Neighbours:
    """Return the nearest row of `among` for each row of `x`; a copy is at a distance of 0."""
    centre = among.mean(axis=0)
    indices = pairwise_distances_argmin(x - centre, among - centre)
    return Neighbours(indices, np.linalg.norm(x - among[indices], axis=1))


def copying(samples: ArrayLike, train: ArrayLike, held_out: ArrayLike) -> dict[str, Estimate]:
    """Return two signs that samples are copies of training examples.

    `copied` is the share of samples that would have to be copies to explain how many of them are
    nearer to a training example than to any held-out one,

        (s - p) / (1 - p),  s = share nearest to a training example,  p = n_t / (n_t + n_h).

    It is 0 on average for a model that has not learnt the training data by heart, blurred samples
    or not, and 1 if all are copies. Its error is that without copying, over all ways to deal the
    labels "training" and "held-out" to the examples.

    `nearer_than_held_out` is the probability that a sample is nearer to the training data than a
    held-out example is: ½ for samples as varied as data, more for copies, but also for blurred
    samples, which lie between examples, and less for samples far from the data.

    Args:
        samples: (m, ...) samples, or their features.
        train: (n_t, ...) training examples, or their features.
        held_out: (n_h, ...) examples of the same distribution that the model has not seen.

    Raises:
        ValueError: if one of them is empty or not finite, or their examples differ in size.

    References:
        Meehan, Chaudhuri & Dasgupta, A non-parametric test to detect data-copying in generative
        models, AISTATS 2020: `nearer_than_held_out` is their U statistic over one cell.

    Examples:
        >>> train, test = np.random.default_rng(0).normal(size=(2, 100, 5))
        >>> {name: figure.value for name, figure in copying(train[:50], train, test).items()}
        {'copied': 1.0, 'nearer_than_held_out': 1.0}
    """
    x = finite_rows("samples", pixels(samples))
    seen, unseen = (
        same_size(finite_rows(name, pixels(given)), x.shape[1], name)
        for name, given in (("train", train), ("held_out", held_out))
    )
    to_seen, to_unseen = _nearest(x, seen), _nearest(x, unseen)
    nearer = auroc(to_seen.distances, _nearest(unseen, seen).distances)
    text = (
        f"P(a sample is nearer to one of {len(seen):,} training examples than a held-out one), "
        f"{len(x):,} samples and {len(unseen):,} held-out examples"
    )
    return {
        "copied": _excess(to_seen, to_unseen, len(seen), len(unseen)),
        "nearer_than_held_out": replace(nearer, estimator=text),
    }


def _excess(to_seen: Neighbours, to_unseen: Neighbours, n_seen: int, n_unseen: int) -> Estimate:
    """Return by how much more samples are near to training examples than chance has it.

    Without copying, s = Σ_j w_j l_j with w_j the share of samples whose nearest example is j, l_j
    whether j was dealt to the training data, and Var s = p (1 - p) (Σ w_j² - 1/N) N/(N - 1).
    """
    m, total = len(to_seen.distances), n_seen + n_unseen
    p = n_seen / total
    # Equally near, such as a blank image that both sets have: half each.
    share = 0.5 + 0.5 * np.mean(np.sign(to_unseen.distances - to_seen.distances))
    in_seen = to_seen.distances <= to_unseen.distances
    hit = np.where(in_seen, to_seen.indices, n_seen + to_unseen.indices)
    weights = np.bincount(hit) / m
    spread = max(0.0, np.sum(np.square(weights)) - 1 / total) * total / (total - 1)
    return Estimate(
        float((share - p) / (1 - p)),
        float(np.sqrt(p * (1 - p) * spread) / (1 - p)),
        m,
        f"excess of samples nearest to one of {n_seen:,} training examples over chance, "
        f"against {n_unseen:,} held-out ones; error without copying",
    )


def copying_verdict(figures: dict[str, Estimate]) -> str | None:
    """Name copying and its remedies, from what `copying` returned; None where chance would do.

    Examples:
        >>> train, test = np.random.default_rng(0).normal(size=(2, 100, 5))
        >>> copying_verdict(copying(train[:50], train, test)).split(": ")[0]
        'about 100% of samples (± 12%) look like copies of training examples'
        >>> copying_verdict(copying(test[:50] + 0.01, train, test[50:])) is None
        True
    """
    copied = figures["copied"]
    if copied.standard_error is None or copied.value <= _ERRORS * copied.standard_error:
        return None
    return (
        f"about {copied.value:.0%} of samples (± {copied.standard_error:.0%}) look like copies of "
        "training examples: look at them beside their nearest training neighbours, and train on "
        "more data, stop earlier, or use a smaller model or a higher beta"
    )
