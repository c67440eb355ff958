"""Two metrics from the mutual information of binned latents and factors: MIG and modularity."""

import numpy as np
from numpy.typing import ArrayLike

from workshop.generative_models.core.checks import positive_int
from workshop.generative_models.evaluation.disentanglement.counting import (
    factor_entropies,
    gap_of_best_two,
    mutual_information,
)
from workshop.generative_models.evaluation.disentanglement.inputs import checked, no_constant


def mig(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> float:
    """Return the mutual information gap: is each factor told by one latent alone?

        MIG = 1/K Σ_k (I(z_(1); v_k) - I(z_(2); v_k)) / H(v_k),

    with (1) and (2) the latents that tell most and second most about factor k. 1 if each factor is
    told completely by one latent and not at all by others, 0 if two tell as much. A constant
    latent tells nothing, 0 nats.

    Args:
        codes: (examples, latents) such as means of q(z|x), at least two latents; published figures
            rest on 10,000 examples.
        factors: (examples, factors) whole numbers.
        bins: equal bins into which each latent's range is cut.

    Raises:
        ValueError: if there is one latent only, if a factor has one value, or if the arrays are
            not numbers that belong together.

    References:
        Chen, Li, Grosse, Duvenaud. Isolating Sources of Disentanglement in Variational
        Autoencoders. NeurIPS 2018. Bins as in Locatello et al., Challenging Common Assumptions in
        the Unsupervised Learning of Disentangled Representations, ICML 2019.

    Examples:
        >>> factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> mig(3.0 * factors, factors), mig(factors @ [[1, 1], [1, -1]], factors)
        (1.0, 0.0)
    """
    x, y = checked("mig(codes)", codes, factors, latents=2)
    no_constant("mig", y)
    information = mutual_information(x, y, positive_int("mig: bins", bins))
    return float(np.mean(gap_of_best_two(information) / factor_entropies(y)))


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
        ValueError: if there is one factor only, or if the arrays are not numbers that belong
            together.

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
