"""What a decoder's output says about the data: log p(x|z) per example, in nats.

A decoder returns unsquashed values. `Bernoulli`, `ContinuousBernoulli` and `Categorical` read them
as logits; the others apply the decoder's output activation and read the mean. `SquaredError` is the
reference's plain sum of squares, which is no normalised density: compare it only with itself.
`DiscretizedLogistic` and `Categorical` are probabilities of integers, the others but `Bernoulli`
densities.
"""

from collections.abc import Callable
from math import log, prod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import Scale, check_likelihood
from workshop.generative_models.core.discrete_likelihoods import Categorical, DiscretizedLogistic
from workshop.generative_models.core.gaussian import PRNGKey
from workshop.generative_models.core.likelihood_base import (
    MIN_SCALE,
    Batch,
    Likelihood,
    LocationScale,
    PerExample,
    SquaredError,
    identity,
    softplus,
    sum_features,
)


class Bernoulli(Likelihood):
    """log p(x|z) = Σ x·l - log(1 + eˡ) of logits l: finite however far the decoder saturates."""

    parameter = "logits"
    support = "unit"

    def mean(self, logits: Batch) -> Batch:
        """Return the probability of a one."""
        return jax.nn.sigmoid(logits)

    def logits(self, mean: Batch) -> Batch:
        """Return the logits of probabilities, held within what float32 tells apart from 0 and 1."""
        eps = float(jnp.finfo(jnp.float32).eps)
        return jax.scipy.special.logit(jnp.clip(mean, eps, 1 - eps))

    def log_prob(self, parameter: Batch, x: Batch) -> PerExample:
        """Return the log-probability of x in [0, 1], in nats per example."""
        return sum_features(x * parameter - softplus(parameter))

    def sample(self, parameter: Batch, key: PRNGKey) -> Batch:
        """Draw zeros and ones, ones with probability σ(l)."""
        # u < σ(l) as logit(u) < l: no probability near 1 is rounded to it.
        noise = jax.random.logistic(key, parameter.shape, parameter.dtype)
        return (noise < parameter).astype(parameter.dtype)


class ContinuousBernoulli(Bernoulli):
    """The Bernoulli's form, normalised on [0, 1]: log p(x|z) = Σ x·l - log(1 + eˡ) + log C(l).

    C(l) = l / tanh(l/2) is the normaliser, 2 at l = 0.

    References:
        Loaiza-Ganem & Cunningham, The continuous Bernoulli, NeurIPS 2019.
    """

    def mean(self, logits: Batch) -> Batch:
        """Return E[x|z] = σ(l) / tanh(l/2) - 1/l, by its series near l = 0, ½ + l/12 - ..."""
        near = jnp.abs(logits) < 0.5  # where 1/l would cancel; the series is good to 1e-8 there
        # Each branch gets a harmless input where it is not used: its gradient must not be NaN.
        small, safe = jnp.where(near, logits, 0.0), jnp.where(near, 1.0, logits)
        series = 0.5 + small / 12 - small**3 / 720 + small**5 / 30240
        exact = jax.nn.sigmoid(safe) / jnp.tanh(safe / 2) - 1 / safe
        return jnp.where(near, series, exact)

    def logits(self, mean: Batch) -> Batch:
        """Refuse: the mean of this family has no closed inverse."""
        return Likelihood.logits(self, mean)

    def log_prob(self, parameter: Batch, x: Batch) -> PerExample:
        """Return the log-density of x in [0, 1], in nats per example."""
        size = jnp.abs(parameter)
        near = size < 1e-1
        small, safe = jnp.where(near, size, 0.0), jnp.where(near, 1.0, size)
        # log tanh(s/2) = log(1 - e⁻ˢ) - log(1 + e⁻ˢ), without overflow.
        exact = jnp.log(safe) + jnp.log1p(jnp.exp(-safe)) - jnp.log(-jnp.expm1(-safe))
        series = log(2) + small**2 / 12 - small**4 * 7 / 1440
        return super().log_prob(parameter, x) + sum_features(jnp.where(near, series, exact))

    def sample(self, parameter: Batch, key: PRNGKey) -> Batch:
        """Draw x in [0, 1] by the inverse of F(x) = (e^lx - 1) / (e^l - 1)."""
        # For l > 0 the mirror image of -l, whose exponentials do not overflow. Below 1e-6 the
        # density is even to the last digit of float32, and log1p(u expm1(s)) / s would be 0 / 0.
        s = -jnp.maximum(jnp.abs(parameter), 1e-6)
        u = jax.random.uniform(key, parameter.shape, parameter.dtype)
        x = jnp.clip(jnp.log1p(u * jnp.expm1(s)) / s, 0.0, 1.0)
        return jnp.where(parameter > 0, 1 - x, x)


class Gaussian(LocationScale):
    """log p(x|z) = Σ -½ (x - μ)²/σ² - ½ log 2πσ²; the optimal σ² is the mean squared error."""

    standard_noise = staticmethod(jax.random.normal)

    def _best_scale(self, error: Float[Array, "*shape"]) -> Float[Array, ""]:
        # The floor sits inside the root, whose slope at 0 is infinite.
        return jnp.sqrt(jnp.maximum(jnp.mean(jnp.square(error)), MIN_SCALE**2))

    def log_prob(self, parameter: Batch, x: Batch) -> PerExample:
        """Return the log-density of x, in nats per example."""
        scale = self.relative_scale(parameter, x)
        square = jnp.square(self.relative(x - parameter) / scale)
        density = sum_features(-0.5 * square - jnp.log(scale) - 0.5 * jnp.log(2 * jnp.pi))
        return density - self.log_units()


class Laplace(LocationScale):
    """log p(x|z) = Σ -|x - μ|/b - log 2b; the optimal b is the mean absolute error."""

    scale_of_unit_spread = 0.5**0.5
    standard_noise = staticmethod(jax.random.laplace)

    def _best_scale(self, error: Float[Array, "*shape"]) -> Float[Array, ""]:
        return jnp.mean(error)

    def log_prob(self, parameter: Batch, x: Batch) -> PerExample:
        """Return the log-density of x, in nats per example."""
        scale = self.relative_scale(parameter, x)
        error = jnp.abs(self.relative(x - parameter))
        return sum_features(-error / scale - jnp.log(2 * scale)) - self.log_units()


_FAMILIES: dict[str, type[Likelihood]] = {
    "mse": SquaredError,
    "bce": Bernoulli,
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "continuous_bernoulli": ContinuousBernoulli,
    "discretized_logistic": DiscretizedLogistic,
    "categorical": Categorical,
}


def create_likelihood(
    name: str,
    *,
    scale: Scale = 1.0,
    link: Callable[[jax.Array], jax.Array] = identity,
    levels: int = 256,
    event_shape: tuple[int, ...] | None = None,
    standardize: bool = False,
) -> Likelihood:
    """Return a likelihood by name, such as mse, bce or discretized_logistic.

    Args:
        name: the family; bernoulli is another name of bce.
        scale: for gaussian, laplace and discretized_logistic: a number, "learned" or, but for the
            last, "per_feature" or "optimal"; see `LocationScale`.
        link: the decoder's output activation; the Bernoulli families and categorical have their
            own.
        levels: for discretized_logistic and categorical: how many values a feature can have, which
            are k / (levels - 1).
        event_shape: shape of one example, for a scale per feature and `standardize`.
        standardize: for gaussian and laplace: count in standard deviations of the training data.

    Raises:
        ValueError: for an unknown name, or a scale, levels or standardisation that the family does
            not have.

    Examples:
        >>> create_likelihood("gaussian", scale="optimal").scale
        'optimal'
        >>> create_likelihood("categorical", levels=16).parameters_per_value
        16
    """
    family = _FAMILIES[checks.one_of("likelihood", name, _FAMILIES)]
    check_likelihood(name, scale, levels, standardize=standardize)
    if issubclass(family, DiscretizedLogistic):
        return family(scale, link, levels)
    if issubclass(family, Categorical):
        return family(levels)
    if issubclass(family, LocationScale):
        return family(scale, link, event_shape=event_shape, standardize=standardize)
    return family(link) if issubclass(family, SquaredError) else family()


def bits_per_dim(
    log_prob: Float[Array, "*shape"], event_shape: tuple[int, ...], *, levels: int | None = None
) -> Float[Array, "*shape"]:
    """Return -log p / (D log 2) of D features, in bits.

    Of discretized_logistic and categorical these are bits of the integers themselves, and a bound
    on log p bounds what a code for them needs; a density needs `levels` for that.

    Args:
        log_prob: log-probability or log-density of an example, in nats.
        event_shape: shape of one example; D is the product.
        levels: for a density of integers k dequantised as (k + u) / levels with u in [0, 1) (256
            for bytes): adds log2(levels), which bounds the bits of the integers. Leave it out for
            discretized_logistic and categorical, which have no dequantisation to account for.

    Examples:
        >>> float(bits_per_dim(jnp.array(-784 * jnp.log(2.0)), (28, 28, 1)))
        1.0
    """
    bits = -log_prob / (prod(event_shape) * log(2))
    return bits if levels is None else bits + jnp.log2(levels)
