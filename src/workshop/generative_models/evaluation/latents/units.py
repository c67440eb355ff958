"""Which latents hold something: active units, the KL of each latent, and whether all collapsed."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy.special import ndtr

from ...core.checks import at_least
from ...core.gaussian import kl_to_standard_normal
from ..arrays import finite_rows
from ..estimates import Estimate, mean_of


def read_parameters(
    where: str, mean: ArrayLike, log_var: ArrayLike
) -> tuple[Float[np.ndarray, "n latents"], Float[np.ndarray, "n latents"]]:
    """Return means and log-variances of q(z|x) as float32, checked; `where` is the caller."""
    means, log_vars = (
        finite_rows(f"{where}({name})", value, least=2, dtype=np.float32)
        for name, value in (("mean", mean), ("log_var", log_var))
    )
    if means.shape != log_vars.shape:
        raise ValueError(
            f"{where}: mean has shape {means.shape} and log_var {log_vars.shape}: expected the same"
        )
    return means, log_vars


@dataclass(frozen=True, eq=False)
class ActiveUnits:
    """Which latents answer to the data, as `active_units` returns it."""

    variance: list[Estimate]
    """Var_x E[z|x] of each latent."""
    active: Bool[np.ndarray, " latents"]
    """Whether it is above the threshold."""
    count: Estimate
    """How many are."""
    threshold: float
    """The threshold."""


def active_units(mean: ArrayLike, threshold: float = 0.01) -> ActiveUnits:
    """Return how much each latent's mean varies over the data, and which latents are active.

        A_j = Var_x(E[z_j|x]),  active if A_j > threshold

    The error of the count is √Σ p (1 - p), where p is the chance that a latent lies on the other
    side of the threshold, given the error of its own variance: 0 if none is near.

    Args:
        mean: (n, latents) means of q(z|x), n >= 2.
        threshold: variance above which a latent counts as active.

    Raises:
        ValueError: if `mean` has another shape or numbers that are not finite, or if `threshold`
            is negative.

    References:
        Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, ICLR 2016, section 5.1.

    Examples:
        >>> units = active_units([[-1.0, 0.05], [1.0, 0.0], [0.0, 0.1]])
        >>> [round(v.value, 4) for v in units.variance], units.active.tolist()
        ([1.0, 0.0025], [True, False])
    """
    threshold = at_least("active_units: threshold", threshold, 0.0)
    means = finite_rows("active_units(mean)", mean, least=2, dtype=np.float32).astype(np.float64)
    n = len(means)
    text = "variance over examples of the mean of q(z|x)"
    squares = np.square(means - means.mean(axis=0))
    variance = [mean_of(column, text, scale=n / (n - 1)) for column in squares.T]
    value = np.array([v.value for v in variance])
    error = np.array([v.standard_error for v in variance])
    distance = np.abs(value - threshold) / np.maximum(error, np.finfo(float).tiny)
    other = ndtr(-np.where(error > 0, distance, np.inf))
    active = value > threshold
    count = Estimate(
        float(active.sum()),
        float(np.sqrt(np.sum(other * (1 - other)))),
        n,
        f"latents whose {text} exceeds {threshold:g}",
    )
    return ActiveUnits(variance, active, count, float(threshold))


def collapse(units: ActiveUnits) -> str | None:
    """Name posterior collapse and its remedies; None if there is none worth naming.

    Some latents without use are no fault: the VAE of 50 latents of Burda et al. (2016) kept 19 on
    MNIST. Collapse is therefore named where a quarter or fewer are left.

    Examples:
        >>> collapse(active_units([[-1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.1]])).split(":")[0]
        '3 of 4 latents are inactive (Var E[z|x] < 0.01)'
        >>> collapse(active_units([[-1.0, 0.0], [1.0, 0.0]])) is None
        True
    """
    latents, active = len(units.active), int(units.active.sum())
    if active > latents / 4:
        return None
    return (
        f"{latents - active:,} of {latents:,} latents are inactive "
        f"(Var E[z|x] < {units.threshold:g}): lower beta, warm it up, or set free_bits"
    )


def kl_per_dimension(mean: ArrayLike, log_var: ArrayLike) -> list[Estimate]:
    """Return KL(q(z_j|x) ‖ N(0, 1)) of each latent j, averaged over examples, in nats.

        KL_j = E_x ½ (σ_j² + μ_j² - 1 - log σ_j²)

    The arguments and errors are those of `aggregate_posterior`.

    Examples:
        >>> [round(kl.value, 3) for kl in kl_per_dimension([[1.0, 0.0]] * 2, [[0.0, 0.0]] * 2)]
        [0.5, 0.0]
    """
    kl = example_kl(*read_parameters("kl_per_dimension", mean, log_var))
    return [mean_of(column, "mean over examples, analytic", "nats") for column in kl.T]


def example_kl(
    mean: Float[np.ndarray, "n latents"], log_var: Float[np.ndarray, "n latents"]
) -> Float[np.ndarray, "n latents"]:
    """Return the KL of each example and latent, on the host as float64."""
    kl = kl_to_standard_normal(jnp.asarray(mean), jnp.asarray(log_var))
    return np.asarray(kl, np.float64)
