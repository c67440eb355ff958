"""UDR: which of several models is disentangled, told without factors by how far they agree."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.linear_model import Lasso

from ...core.checks import at_least, one_of
from ..arrays import finite_rows
from .inputs import Codes

_PENALTY = 0.1

Latents = Float[np.ndarray, "examples latents"]
OtherLatents = Float[np.ndarray, "examples other_latents"]
Relation = Float[np.ndarray, "latents other_latents"]


class UDRScores(TypedDict):
    """What `udr` returns, each from 0 to 1."""

    model_scores: Float[np.ndarray, " models"]
    pairwise_scores: Float[np.ndarray, "models models"]


def udr(
    codes: Sequence[ArrayLike] | np.ndarray,
    kl: Sequence[ArrayLike] | np.ndarray,
    correlation: str = "lasso",
    kl_threshold: float = 0.01,
) -> UDRScores:
    """Return the unsupervised disentanglement ranking of models, by how alike their latents are.

        UDR_ij = ½ (1/|a| Σ_a max_b R_ab² / Σ_b R_ab + 1/|b| Σ_b max_a R_ab² / Σ_a R_ab),

    with R_ab ≥ 0 how strongly latent a of model i goes with latent b of model j, over the latents
    that hold information. A model's score is the median of UDR_ij over the other models i. 1 if
    models agree up to the order and sign of latents (0.9 with the lasso, whose penalty shrinks R):
    disentangled models do, since there are few ways to be so and many to be entangled.

    Compare models that differ in their seed, a set of them for each setting. A constant latent goes
    with nothing, and a model without any other scores 0.

    Args:
        codes: for each model (examples, latents), of the same examples in the same order; models
            may have different numbers of latents. Published figures rest on 1,000 examples.
        kl: for each model (latents,) the mean KL(q(z_l|x) ‖ p(z_l)) of each latent in nats.
        correlation: "lasso", the weights |w| of a regression of standardised latents on those of
            the other model (penalty 0.1), or "spearman", the rank correlation |ρ|.
        kl_threshold: in nats, which the KL of a latent must exceed.

    Raises:
        ValueError: for fewer than two models, or arrays that do not fit.

    References:
        Duan, Matthey, Saraiva, Watters, Burgess, Lerchner, Higgins. Unsupervised Model Selection
        for Variational Disentangled Representation Learning. ICLR 2020.

    Examples:
        >>> codes = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> scores = udr([codes, -codes[:, ::-1]], [[1.0, 2.0], [2.0, 1.0]])
        >>> scores["model_scores"].round(6).tolist()
        [0.9, 0.9]
    """
    one_of("udr: correlation", correlation, ("lasso", "spearman"))
    at_least("udr: kl_threshold", kl_threshold, 0)
    if len(codes) < 2 or len(codes) != len(kl):
        raise ValueError(
            f"udr: expected codes and kl of at least two models, got codes of {len(codes)} and kl "
            f"of {len(kl)}"
        )
    given = zip(codes, kl, strict=True)
    models = [_informative(i, *arrays, kl_threshold) for i, arrays in enumerate(given)]
    if any(len(model) != len(models[0]) for model in models):
        raise ValueError(
            f"udr(codes): expected the same examples of each model, got {[len(m) for m in models]}"
        )
    if correlation == "spearman":
        models = [_standardised(rankdata(model, axis=0)) for model in models]
    relation = _lasso if correlation == "lasso" else _spearman
    pairs = np.zeros((len(models), len(models)))
    for i, j in np.ndindex(*pairs.shape):
        if i != j:
            pairs[i, j] = _relative_strength(relation(models[i], models[j]))
    others = ~np.eye(len(models), dtype=bool)
    scores = [np.median(pairs[others[:, j], j]) for j in range(len(models))]
    return UDRScores(model_scores=np.array(scores), pairwise_scores=pairs)


def _informative(model: int, codes: ArrayLike, kl: ArrayLike, threshold: float) -> Codes:
    """Return the latents of one model that hold information, standardised."""
    x, nats = finite_rows(f"udr(codes[{model}])", codes), np.asarray(kl, np.float64)
    if nats.shape != x.shape[1:] or not np.isfinite(nats).all():
        raise ValueError(
            f"udr(kl[{model}]): expected {x.shape[1]} finite numbers, the mean KL of each latent, "
            f"got shape {nats.shape}"
        )
    return _standardised(x[:, nats > threshold])


def _standardised(x: Codes) -> Codes:
    """Return columns of mean 0 and variance 1, constant ones as 0."""
    varies = np.ptp(x, axis=0) > 0
    return np.where(varies, (x - x.mean(axis=0)) / np.where(varies, x.std(axis=0), 1), 0)


def _lasso(x: Latents, y: OtherLatents) -> Relation:
    """Return |w| of the regression of each latent of y on all of x."""
    if not x.shape[1] or not y.shape[1]:
        return np.zeros((x.shape[1], y.shape[1]))
    weights = np.abs(Lasso(alpha=_PENALTY).fit(x, y).coef_)
    return weights.reshape(y.shape[1], x.shape[1]).T  # scikit-learn drops an axis of one


def _spearman(x: Latents, y: OtherLatents) -> Relation:
    """Return |ρ| of all pairs of latents given as standardised ranks."""
    return np.abs(x.T @ y) / len(x)


def _relative_strength(relation: Relation) -> float:
    """Return the mean of max² / sum over the columns and over the rows; 0 for those without."""
    if not relation.size:
        return 0.0
    means = []
    for axis in (0, 1):
        most, total = relation.max(axis), relation.sum(axis)
        means.append(np.mean(np.where(total > 0, most**2 / np.where(total > 0, total, 1), 0)))
    return float(np.mean(means))
