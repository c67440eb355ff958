"""Histograms of latents, and what they tell about factors."""

import numpy as np
from jaxtyping import Float, Int

from workshop.generative_models.evaluation.disentanglement.inputs import Codes, Factors
from workshop.generative_models.evaluation.latents.codebooks import entropy

BLOCK = 2**22
"""Pairs of a latent and a factor that are counted at once: 32 MiB of indices."""


def discretize(values: Codes | Factors, bins: int) -> Int[np.ndarray, "examples columns"]:
    """Return the bin of each value, 0 to bins - 1, among equal ones from its column's low to high.

    A bin holds its lower edge; the last one holds both. A constant column is all in one bin. The
    edges are those of `np.histogram`.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    constant = low == high
    edges = np.linspace(low - constant / 2, high + constant / 2, bins + 1)
    chosen = np.zeros(values.shape, np.int64)
    for edge in edges[1:-1]:
        chosen += values >= edge
    return chosen


def mutual_information(
    codes: Codes, factors: Factors, bins: int
) -> Float[np.ndarray, "latents factors"]:
    """Return I(z_l; v_k) = Σ p(z, v) log(p(z, v) / (p(z) p(v))) in nats, of latents in bins.

    It is exactly 0 where either is constant: the ratio is one of whole numbers below 2⁵³.
    """
    latents, n = codes.shape[1], len(codes)
    values, sizes = ranked(factors)
    first = np.cumsum(sizes) - sizes  # where each factor's values begin in a row of all of them
    total = int(sizes.sum())
    rows = (discretize(codes, bins) + bins * np.arange(latents)) * total
    columns = values + first
    joint = np.zeros(latents * bins * total, np.int64)
    step = max(1, BLOCK // (latents * len(sizes)))
    for start in range(0, n, step):
        part = slice(start, start + step)
        cells = rows[part, :, None] + columns[part, None, :]
        joint += np.bincount(cells.reshape(-1), minlength=len(joint))
    joint = joint.reshape(latents, bins, total)
    of_bin = joint[:, :, : sizes[0]].sum(axis=2, keepdims=True)  # every factor sums to the same
    of_value = joint[0].sum(axis=0)
    independent = np.where(joint > 0, of_bin * of_value, 1)
    ratio = np.where(joint > 0, joint * n, 1) / independent
    terms = np.sum(joint / n * np.log(ratio), axis=1)
    return np.maximum(np.add.reduceat(terms, first, axis=1), 0)


def ranked(factors: Factors) -> tuple[Factors, Int[np.ndarray, " factors"]]:
    """Return each value's rank among its factor's, 0, 1, ..., and how many values there are."""
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in factors.T], axis=1)
    return ranks, ranks.max(axis=0) + 1


def factor_entropies(factors: Factors) -> Float[np.ndarray, " factors"]:
    """Return H(v_k) in nats."""
    return np.array([entropy(np.unique(column, return_counts=True)[1]) for column in factors.T])


def gap_of_best_two(
    scores: Float[np.ndarray, "latents factors"],
) -> Float[np.ndarray, " factors"]:
    """Return how far each factor's best latent is ahead of its second."""
    best = np.sort(scores, axis=0)
    return best[-1] - best[-2]
