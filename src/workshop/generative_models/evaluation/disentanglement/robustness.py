"""IRS: how little a latent moves when other factors than its own change."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from workshop.generative_models.core.checks import positive_int
from workshop.generative_models.evaluation.disentanglement.counting import discretize
from workshop.generative_models.evaluation.disentanglement.inputs import Codes, checked


def irs(codes: ArrayLike, factors: ArrayLike, bins: int = 20, diff_quantile: float = 0.99) -> float:
    """Return the interventional robustness score: does each latent hold still for one factor?

        IRS = Σ_l w_l max_k (1 - E_v[Q(|z_l - E[z_l | v_k = v]|, v_k = v)] / max |z_l - E z_l|),

    with Q the quantile of how far a latent strays from its mean among examples that share a value
    of factor k, the mean taken over that factor's values alike, and w_l ∝ max |z_l - E z_l|. 1 if
    each latent is a function of one factor, about 0 if each strays as far with any factor held.
    Constant latents are left out; with all constant it is 0. A constant factor holds nothing still.

    Args:
        codes: (examples, latents); published figures rest on 10,000 examples, drawn with
            independent factors.
        factors: (examples, factors) whole numbers whose order means something if a factor has more
            values than `bins`: its range is cut into that many and values share a bin.
        bins: see `factors`.
        diff_quantile: of Q, above 0 and at most 1. 1 is the maximum of the paper, 0.99 what
            published comparisons use.

    Raises:
        ValueError: if the quantile is out of range or the arrays are not numbers that belong
            together.

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
    strays = np.stack([mean_stray(x, column, diff_quantile) for column in values.T], axis=1)
    return float(np.average(np.max(1 - strays / furthest[:, None], axis=1), weights=furthest))


def mean_stray(
    x: Codes, values: Int[np.ndarray, " examples"], quantile: float
) -> Float[np.ndarray, " latents"]:
    """Return E_v[Q(|z - E[z | v]|, v)] of each latent, for one factor."""
    order = np.argsort(values, kind="stable")
    groups = np.split(x[order], np.flatnonzero(np.diff(values[order])) + 1)
    return np.mean(
        [np.quantile(np.abs(g - g.mean(axis=0)), quantile, axis=0) for g in groups], axis=0
    )
