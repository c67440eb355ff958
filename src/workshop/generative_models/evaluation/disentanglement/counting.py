"""MIG, modularity and IRS: scores from counts of examples whose latents and factors are in bins."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import rel_entr
from scipy.stats import entropy

from ...core.checks import positive_int
from .inputs import Codes, Factors, checked, no_constant


def mig(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> float:
    """Return the mutual information gap: is each factor told by one latent alone?

        MIG = 1/K Σ_k (I(z_(1); v_k) - I(z_(2); v_k)) / H(v_k),

    with (1) and (2) the latents that tell most and second most about factor k. 1 if each factor is
    told completely by one latent and not at all by others, 0 if two tell as much. A constant
    latent tells nothing, 0 nats.

    Args:
        codes: (examples, latents), at least two latents.
        factors: (examples, factors) whole numbers.
        bins: equal bins into which each latent's range is cut.

    Raises:
        ValueError: for one latent only, a factor of one value, or arrays that do not fit.

    References:
        Chen, Li, Grosse, Duvenaud. Isolating Sources of Disentanglement in Variational
        Autoencoders. NeurIPS 2018. Bins as in Locatello et al., ICML 2019.

    Examples:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> mig(3.0 * factors, factors), mig(factors @ [[1, 1], [1, -1]], factors)
        (1.0, 0.0)
    """
    x, y = checked("mig(codes)", codes, factors, latents=2)
    no_constant("mig", y)
    information = mutual_information(x, y, positive_int("mig: bins", bins))
    entropies = [entropy(np.unique(column, return_counts=True)[1]) for column in y.T]
    return float(np.mean(gap_of_best_two(information) / entropies))


def modularity(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> float:
    """Return the modularity: does each latent tell of one factor alone?

        1/L Σ_l (1 - Σ_{k ≠ k*} I(z_l; v_k)² / ((K - 1) I(z_l; v_k*)²)),  k* = argmax_k I(z_l; v_k).

    1 if each latent tells of a single factor, 0 if of all alike. A latent that tells of none, such
    as a constant one, counts as 0. A constant factor is told by no latent and is harmless.

    Args:
        codes: (examples, latents).
        factors: (examples, factors) whole numbers, at least two factors.
        bins: equal bins into which each latent's range is cut.

    Raises:
        ValueError: for one factor only, or arrays that do not fit.

    References:
        Ridgeway & Mozer. Learning Deep Disentangled Embeddings with the F-Statistic Loss. NeurIPS
        2018. Latents without information as in Locatello et al., ICML 2019.

    Examples:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> modularity(factors, factors), modularity(factors @ [[1], [2]], factors)
        (1.0, 0.0)
    """
    x, y = checked("modularity(codes)", codes, factors, columns=2)
    squared = np.square(mutual_information(x, y, positive_int("modularity: bins", bins)))
    most = squared.max(axis=1)
    rest = squared.sum(axis=1) - most
    bound = (y.shape[1] - 1) * most
    tells = bound > 0
    return float(np.mean(np.where(tells, 1 - rest / np.where(tells, bound, 1), 0)))


def irs(codes: ArrayLike, factors: ArrayLike, bins: int = 20, diff_quantile: float = 0.99) -> float:
    """Return the interventional robustness score: does each latent hold still for one factor?

        IRS = Σ_l w_l max_k (1 - E_v[Q(|z_l - E[z_l | v_k = v]|, v_k = v)] / max |z_l - E z_l|),

    with Q the quantile of how far a latent strays from its mean among examples that share a value
    of factor k, the mean taken over that factor's values alike, and w_l ∝ max |z_l - E z_l|. 1 if
    each latent is a function of one factor, about 0 if each strays as far with any factor held.
    Constant latents are left out; with all constant it is 0. A constant factor holds nothing still.

    Args:
        codes: (examples, latents), drawn with independent factors.
        factors: (examples, factors) whole numbers whose order means something if a factor has more
            values than `bins`: its range is cut into that many and values share a bin.
        bins: see `factors`.
        diff_quantile: of Q, above 0 and at most 1. 1 is the maximum of the paper, 0.99 what
            published comparisons use.

    Raises:
        ValueError: if the quantile is out of range or the arrays do not fit.

    References:
        Suter, Miladinović, Schölkopf, Bauer. Robustly Disentangled Causal Mechanisms: Validating
        Deep Representations for Interventional Robustness. ICML 2019. Quantile and bins as in
        Locatello et al., ICML 2019.

    Examples:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> irs(factors, factors), irs(factors @ [[1], [1]], factors)
        (1.0, 0.5)
    """
    x, y = checked("irs(codes)", codes, factors)
    if not 0 < diff_quantile <= 1:
        raise ValueError(f"irs(diff_quantile={diff_quantile}): expected 0 < diff_quantile <= 1")
    x = x[:, np.ptp(x, axis=0) > 0]
    if not x.shape[1]:
        return 0.0
    values = discretize(y, positive_int("irs: bins", bins))
    furthest = np.abs(x - x.mean(axis=0)).max(axis=0)
    strays = np.stack([_mean_stray(x, column, diff_quantile) for column in values.T], axis=1)
    return float(np.average(np.max(1 - strays / furthest[:, None], axis=1), weights=furthest))


def _mean_stray(
    x: Codes, values: Int[np.ndarray, " examples"], quantile: float
) -> Float[np.ndarray, " latents"]:
    """Return E_v[Q(|z - E[z | v]|, v)] of each latent, for one factor."""
    order = np.argsort(values, kind="stable")
    groups = np.split(x[order], np.flatnonzero(np.diff(values[order])) + 1)
    return np.mean(
        [np.quantile(np.abs(g - g.mean(axis=0)), quantile, axis=0) for g in groups], axis=0
    )


def discretize(values: Codes | Factors, bins: int) -> Int[np.ndarray, "examples columns"]:
    """Return the bin of each value, 0 to bins - 1, among those of `np.histogram` of its column."""
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
    """Return I(z_l; v_k) in nats, of latents in bins; exactly 0 where either is constant."""
    n, in_bin = len(codes), np.eye(bins)[discretize(codes, bins)]
    columns = []
    for factor in factors.T:
        joint = np.tensordot(in_bin, factor[:, None] == np.unique(factor), (0, 0))
        independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=2, keepdims=True)
        columns.append(rel_entr(n * joint, independent).sum(axis=(1, 2)) / n**2)
    return np.maximum(np.stack(columns, axis=1), 0)


def gap_of_best_two(
    scores: Float[np.ndarray, "latents factors"],
) -> Float[np.ndarray, " factors"]:
    """Return how far each factor's best latent is ahead of its second."""
    best = np.sort(scores, axis=0)
    return best[-1] - best[-2]
