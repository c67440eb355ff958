"""Metrics that intervene: examples share one factor, and the latents must tell which it is."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression

from ...core.checks import at_least
from ..passes import Progress, in_passes
from .learnt import ITERATIONS
from .sampling import EXAMPLES, Points, Sampler


def beta_vae_score(
    represent: Callable[[Any], ArrayLike],
    sampler: Sampler,
    *,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    batch_size: int = 64,
    seed: int = 0,
    progress: Progress = iter,
) -> float:
    """Return the BetaVAE score: can a linear classifier tell which factor pairs share?

    A point is made of `batch_size` pairs of examples that share the value of one factor, chosen
    for the point, and are drawn freely in the others: the mean of |z - z'| of each latent. The
    score is the accuracy of a logistic regression (C = 1) from points to the factor, on points it
    has not seen: 1 if some latent stands still for each factor, about 1 / factors for chance, as
    with constant codes. A rotation of disentangled latents can score 1 too. The points are not
    standardised: the classifier's penalty holds back what codes of a small scale tell.

    Args:
        represent: observations to codes (n, latents), such as means of q(z|x); it is called for
            about 1,024 at a time.
        sampler: draws factors and shows them, such as `data.sprites`; at least two factors.
        num_train: points that the classifier is fitted to.
        num_eval: points that it is scored on.
        batch_size: pairs in a point.
        seed: of all draws.
        progress: see `Progress`. Cut short, the points made until then are shared out between
            fitting and scoring in the same proportion.

    Raises:
        ValueError: for one factor only, too few points to fit and to score a classifier, or if
            `represent` does not give a row of finite numbers an observation.

    References:
        Higgins et al. beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
        Framework. ICLR 2017. Numbers as in Locatello et al., ICML 2019.

    Examples:
        >>> import jax
        >>> from types import SimpleNamespace
        >>> grid = SimpleNamespace(
        ...     sample_factors=lambda key, n: jax.random.randint(key, (n, 3), 0, 10),
        ...     render_batch=lambda factors: factors)
        >>> beta_vae_score(lambda x: x, grid, num_train=100, num_eval=50)
        1.0
    """
    sizes = {"num_train": num_train, "num_eval": num_eval, "batch_size": batch_size}
    points = Points("beta_vae_score", represent, sampler, sizes, seed)
    first, second = points.draw_points(1), points.draw_points(2)
    second = np.where(points.held(first.shape[-1]), first, second)

    def mean_difference(index: np.ndarray) -> np.ndarray:
        z, other = (points.codes_of_points(factors[index]) for factors in (first, second))
        return np.abs(z - other).mean(axis=1)

    (x, fixed), (test_x, test_fixed) = points.measure(mean_difference, progress)
    if np.ptp(fixed) == 0:
        raise ValueError(
            f"beta_vae_score(num_train={num_train}): expected points that hold different factors, "
            f"got factor {fixed[0]} in all {len(fixed)}; raise num_train"
        )
    model = LogisticRegression(max_iter=ITERATIONS).fit(x, fixed)
    return float(np.mean(model.predict(test_x) == test_fixed))


def factor_vae_score(
    represent: Callable[[Any], ArrayLike],
    sampler: Sampler,
    *,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    batch_size: int = 64,
    num_variance_estimate: int = 10_000,
    prune_threshold: float = 0.05,
    seed: int = 0,
    progress: Progress = iter,
) -> float:
    """Return the FactorVAE score: is the latent that varies least the factor's own?

    A point is made of `batch_size` examples that all have the same value of one factor, chosen for
    the point: it votes with the latent whose variance, as a share of that over all examples, is
    the smallest. Each latent stands for the factor that most of its votes in training were for;
    the score is the share of votes that this gets right, on points not seen: 1 if each factor has
    a latent of its own, about 1 / factors for chance.

    Latents whose standard deviation over all examples is below the threshold have no vote, and
    constant ones never do; without any other the score is 0. Errors are those of `beta_vae_score`.

    Args:
        represent: see `beta_vae_score`.
        sampler: see there.
        num_train: points that say which factor a latent stands for.
        num_eval: points that are scored.
        batch_size: examples in a point, at least two.
        num_variance_estimate: examples for the variance of each latent over all, at least two.
        prune_threshold: a standard deviation, in units of the codes.
        seed: of all draws.
        progress: see there.

    References:
        Kim & Mnih. Disentangling by Factorising. ICML 2018. Numbers as in Locatello et al., ICML
        2019.

    Examples:
        >>> import jax
        >>> from types import SimpleNamespace
        >>> grid = SimpleNamespace(
        ...     sample_factors=lambda key, n: jax.random.randint(key, (n, 3), 0, 10),
        ...     render_batch=lambda factors: factors)
        >>> factor_vae_score(lambda x: x, grid, num_train=100, num_eval=50)
        1.0
    """
    at_least("factor_vae_score: batch_size", batch_size, 2)
    at_least("factor_vae_score: num_variance_estimate", num_variance_estimate, 2)
    at_least("factor_vae_score: prune_threshold", prune_threshold, 0)
    sizes = {"num_train": num_train, "num_eval": num_eval, "batch_size": batch_size}
    points = Points("factor_vae_score", represent, sampler, sizes, seed)
    free = points.draw(2, num_variance_estimate)
    codes = in_passes(lambda index: points.codes(free[index]), len(free), size=EXAMPLES)
    variance = codes.var(axis=0, ddof=1)
    active = (np.sqrt(variance) >= prune_threshold) & (np.ptp(codes, axis=0) > 0)
    if not active.any():
        return 0.0
    factors = points.draw_points(1)
    num_factors = factors.shape[-1]
    factors = np.where(points.held(num_factors), factors[:, :1], factors)

    def steadiest(index: np.ndarray) -> np.ndarray:
        local = points.codes_of_points(factors[index]).var(axis=1, ddof=1)
        return np.argmin(local[:, active] / variance[active], axis=1)

    train, (latent, fixed) = points.measure(steadiest, progress)
    votes = np.zeros((active.sum(), num_factors), np.int64)
    np.add.at(votes, train, 1)
    return float(np.mean(votes.argmax(axis=1)[latent] == fixed))
