"""The aggregate posterior q(z) against the prior: do samples of the prior look like codes?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ...core.gaussian import LOG_VAR_LIMITS
from ..estimates import Estimate, mean_of
from .decomposition import METHODS, log_ratios
from .units import read_parameters

FAR = 0.1
"""Nats of a latent's KL above which it is called far from the prior."""


@dataclass(frozen=True, eq=False)
class AggregatePosterior:
    """How q(z) lies against N(0, I), as `aggregate_posterior` returns it; lists are by latent."""

    mean: list[Estimate]
    """Mean of q(z_j); 0 under the prior."""
    variance: list[Estimate]
    """Variance of q(z_j); 1 under the prior."""
    gaussian_kl: list[Estimate]
    """KL(N(mean, variance) ‖ N(0, 1)): the least that KL(q(z_j) ‖ p(z_j)) can be."""
    joint_gaussian_kl: Estimate
    """KL of the Gaussian with the mean and covariance of q(z): the least for KL(q(z) ‖ p(z))."""


def aggregate_posterior(mean: ArrayLike, log_var: ArrayLike) -> AggregatePosterior:
    """Compare the aggregate posterior q(z) = E_x q(z|x) with the prior N(0, I), in nats.

        E z = E_x μ,  Cov z = Cov_x μ + E_x diag σ²,  KL(q ‖ p) = KL(q ‖ g) + KL(g ‖ p)

    where g is the Gaussian with the moments of q: since log p is quadratic, KL(g ‖ p) is what the
    moments alone cost, and a lower bound. `marginal_kl` has the form of q(z_j) too.

    Args:
        mean: (n, latents) means of q(z|x), n >= 2.
        log_var: (n, latents) their log-variances, clipped to [-20, 20].

    Raises:
        ValueError: if shapes differ or are others, or if numbers are not finite.

    References:
        Hoffman & Johnson, ELBO surgery, NIPS workshop 2016; Rosca, Lakshminarayanan & Mohamed,
        Distribution matching in variational inference, 2018.

    Examples:
        >>> import math
        >>> narrow = aggregate_posterior([[0.0]] * 3, [[math.log(0.25)]] * 3)
        >>> round(narrow.variance[0].value, 3), round(narrow.gaussian_kl[0].value, 3)
        (0.25, 0.318)
    """
    means, log_vars = read_parameters("aggregate_posterior", mean, log_var)
    means = means.astype(np.float64)
    variances = np.exp(np.clip(log_vars.astype(np.float64), *LOG_VAR_LIMITS))
    spread = variances + np.square(means - means.mean(axis=0))
    return AggregatePosterior(
        mean=[mean_of(m, "mean over examples") for m in means.T],
        variance=[mean_of(v, "mean over examples, about the mean of all") for v in spread.T],
        gaussian_kl=[
            moments_kl(m[:, None], v[:, None]) for m, v in zip(means.T, variances.T, strict=True)
        ],
        joint_gaussian_kl=moments_kl(means, variances),
    )


def marginal_kl(mean: ArrayLike, log_var: ArrayLike, *, seed: int = 0) -> list[Estimate]:
    """Return KL(q(z_j) ‖ p(z_j)) of each latent, in nats.

    One z of each example, and the mixture of all for q(z_j). Their sum is the dimension-wise KL of
    `kl_decomposition`, whose arguments and errors these are.
    """
    means, log_vars = read_parameters("marginal_kl", mean, log_var)
    n = len(means)
    ratios = log_ratios(means, log_vars, np.arange(n)[None], "all", n, seed)[2][0]
    return [mean_of(k, f"{METHODS['all']}, 1 sample of z each", "nats") for k in ratios.T]


def moments_kl(
    mean: Float[np.ndarray, "n latents"], variance: Float[np.ndarray, "n latents"]
) -> Estimate:
    """Return KL(N(m, S) ‖ N(0, I)) = ½ (tr S + mᵀm - d - log det S) for the moments of a mixture.

    The error is that of the influence of each example, ½ E_q(z|x) [zᵀz - (z - m)ᵀ S⁻¹ (z - m)].
    """
    n, latents = mean.shape
    centre = mean.mean(axis=0)
    centred, average = mean - centre, variance.mean(axis=0)
    eigenvalues, vectors = np.linalg.eigh(centred.T @ centred / n + np.diag(average))
    # No eigenvalue of S is below the smallest variance; rounding may not make it so.
    eigenvalues = np.maximum(eigenvalues, average.min())
    total = float(eigenvalues.sum() + centre @ centre - latents - np.log(eigenvalues).sum())
    whitened = np.square(centred @ vectors) + variance @ np.square(vectors)
    second = np.sum(np.square(mean) + variance, axis=1)
    influence = 0.5 * (second - np.sum(whitened / eigenvalues, axis=1))
    text = "Gaussian with the moments of the mixture of all examples"
    error = float(influence.std(ddof=1) / np.sqrt(n))
    return Estimate(max(0.5 * total, 0.0), error, n, text, "nats")


def far_from_prior(posterior: AggregatePosterior, data: str | None = None) -> str | None:
    """Name latents whose codes lie where the prior does not; None if there are none.

    A latent is named if the KL of its moments is above 0.1 nats by two standard errors: variances
    outside 0.5 to 1.8, or means beyond ±0.45. Below that, who sees one latent tells a code from a
    draw of the prior at most 61% of the time (Pinsker).

    Args:
        posterior: as `aggregate_posterior` returns it.
        data: what is wrong with the scale of the training data, where that is the likely cause.

    Examples:
        >>> wide = aggregate_posterior([[-2.0], [2.0]] * 50, [[0.0]] * 100)
        >>> far_from_prior(wide).split(": samples")[0]
        '1 of 1 latents are far from the prior (latent 0: mean 0.00, variance 5.00)'
    """
    found = posterior.gaussian_kl
    far = [j for j, kl in enumerate(found) if kl.value - 2 * (kl.standard_error or 0.0) > FAR]
    if not far:
        return None
    worst = max(far, key=lambda j: found[j].value)
    way_out = (
        "raise beta, or sample around the codes of examples"
        if data is None
        else f"{data}; standardise them (standardize=True) and train again"
    )
    return (
        f"{len(far):,} of {len(found):,} latents are far from the prior (latent {worst}: mean "
        f"{posterior.mean[worst].value:.2f}, variance {posterior.variance[worst].value:.2f}): "
        f"samples from the prior will look worse than reconstructions: {way_out}"
    )
