"""What a decoder's output says about the data: log p(x|z) per example, in nats.

A decoder returns unsquashed values. `Bernoulli` and `ContinuousBernoulli` read them as logits; the
others apply the decoder's output activation and read the mean. `SquaredError` is the reference's
plain sum of squares, which is no normalised density: compare it only with itself.
"""

from collections.abc import Callable
from math import exp, log, prod
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import Scale

MIN_SCALE = exp(-6.0)
"""Learned and optimal scales stay above this, as in the code of Rybkin et al.: a perfect
reconstruction would otherwise have an infinite density."""


class Likelihood(nnx.Module):
    """log p(x|z) of one family. Subclasses say how the decoder's output becomes a mean and a score.

    Attributes:
        parameter: the key of a model's outputs that `log_prob` reads.
        support: the data that the family can describe: "unit" for [0, 1], "real" for any number.
    """

    parameter: Literal["logits", "reconstructed"] = "reconstructed"
    support: Literal["unit", "real"] = "real"

    def mean(self, logits: Float[Array, "batch *event"]) -> Float[Array, "batch *event"]:
        """Return E[x|z] from the decoder's output."""
        raise NotImplementedError

    def log_prob(
        self, parameter: Float[Array, "batch *event"], x: Float[Array, "batch *event"]
    ) -> Float[Array, " batch"]:
        """Return log p(x|z), summed over the features of each example, in nats."""
        raise NotImplementedError


class Bernoulli(Likelihood):
    """log p(x|z) = Σ x·l - log(1 + eˡ) of logits l: finite however far the decoder saturates."""

    parameter = "logits"
    support = "unit"

    def mean(self, logits: Float[Array, "batch *event"]) -> Float[Array, "batch *event"]:
        """Return the probability of a one."""
        return jax.nn.sigmoid(logits)

    def logits(self, mean: Float[Array, "batch *event"]) -> Float[Array, "batch *event"]:
        """Return the logits of probabilities, held within what float32 tells apart from 0 and 1."""
        eps = float(jnp.finfo(jnp.float32).eps)
        return jax.scipy.special.logit(jnp.clip(mean, eps, 1 - eps))

    def log_prob(
        self, parameter: Float[Array, "batch *event"], x: Float[Array, "batch *event"]
    ) -> Float[Array, " batch"]:
        """Return the log-probability of x in [0, 1], in nats per example."""
        return _sum(x * parameter - jax.nn.softplus(parameter))


class ContinuousBernoulli(Bernoulli):
    """The Bernoulli's form, normalised on [0, 1]: log p(x|z) = Σ x·l - log(1 + eˡ) + log C(l).

    C(l) = l / tanh(l/2) is the normaliser, 2 at l = 0.

    References:
        Loaiza-Ganem & Cunningham, The continuous Bernoulli, NeurIPS 2019.
    """

    def mean(self, logits: Float[Array, "batch *event"]) -> Float[Array, "batch *event"]:
        """Return E[x|z] = σ(l) / tanh(l/2) - 1/l, by its series near l = 0, ½ + l/12 - ..."""
        near = jnp.abs(logits) < 0.5  # where 1/l would cancel; the series is good to 1e-8 there
        # Each branch gets a harmless input where it is not used: its gradient must not be NaN.
        small, safe = jnp.where(near, logits, 0.0), jnp.where(near, 1.0, logits)
        series = 0.5 + small / 12 - small**3 / 720 + small**5 / 30240
        exact = jax.nn.sigmoid(safe) / jnp.tanh(safe / 2) - 1 / safe
        return jnp.where(near, series, exact)

    def logits(
        self,
        mean: Float[Array, "batch *event"],  # noqa: ARG002
    ) -> Float[Array, "batch *event"]:
        """Refuse: the mean of this family has no closed inverse."""
        raise ValueError(
            "outputs lacks 'logits', which continuous_bernoulli reads: pass what model(x) returned"
        )

    def log_prob(
        self, parameter: Float[Array, "batch *event"], x: Float[Array, "batch *event"]
    ) -> Float[Array, " batch"]:
        """Return the log-density of x in [0, 1], in nats per example."""
        size = jnp.abs(parameter)
        near = size < 1e-1
        small, safe = jnp.where(near, size, 0.0), jnp.where(near, 1.0, size)
        # log tanh(s/2) = log(1 - e⁻ˢ) - log(1 + e⁻ˢ), without overflow.
        exact = jnp.log(safe) + jnp.log1p(jnp.exp(-safe)) - jnp.log(-jnp.expm1(-safe))
        series = log(2) + small**2 / 12 - small**4 * 7 / 1440
        return super().log_prob(parameter, x) + _sum(jnp.where(near, series, exact))


class SquaredError(Likelihood):
    """The reference's `mse`: log p(x|z) = -Σ (x - μ)², not normalised.

    Args:
        link: the decoder's output activation.
    """

    def __init__(self, link: Callable[[jax.Array], jax.Array] = lambda x: x):
        self.link = link

    def mean(self, logits: Float[Array, "batch *event"]) -> Float[Array, "batch *event"]:
        """Return μ, the decoder's output through its activation."""
        return self.link(logits)

    def log_prob(
        self, parameter: Float[Array, "batch *event"], x: Float[Array, "batch *event"]
    ) -> Float[Array, " batch"]:
        """Return minus the squared error of each example."""
        return -_sum(jnp.square(x - parameter))


class LocationScale(SquaredError):
    """A family with a mean and one scale for all features.

    Args:
        scale: a positive number in the data's units, "learned" for one parameter shared by all
            features, or "optimal" for the maximum-likelihood scale of each batch, in closed form.
        link: the decoder's output activation.

    References:
        Rybkin, Daniilidis & Levine, Simple and Effective VAE Training with Calibrated Decoders,
        ICML 2021.
    """

    def __init__(self, scale: Scale = 1.0, link: Callable[[jax.Array], jax.Array] = lambda x: x):
        super().__init__(link)
        fixed = not isinstance(scale, str | None) and 0 < scale < float("inf")
        if not fixed and scale not in ("learned", "optimal"):
            raise ValueError(f"scale={scale!r}: expected a positive number, 'learned' or 'optimal'")
        self.scale = scale
        self.log_scale = nnx.Param(jnp.zeros(())) if scale == "learned" else None

    def scale_of(
        self, mean: Float[Array, "batch *event"], x: Float[Array, "batch *event"]
    ) -> Float[Array, ""]:
        """Return the scale that `log_prob` uses, in the data's units."""
        if self.log_scale is not None:
            # Added, and not a maximum, below which the parameter would have no gradient.
            return jnp.exp(self.log_scale[...]) + MIN_SCALE
        if self.scale == "optimal":
            return jnp.maximum(self._best_scale(jnp.abs(x - mean)), MIN_SCALE)
        return jnp.asarray(self.scale, mean.dtype)

    def _best_scale(self, error: Float[Array, "batch *event"]) -> Float[Array, ""]:
        raise NotImplementedError


class Gaussian(LocationScale):
    """log p(x|z) = Σ -½ (x - μ)²/σ² - ½ log 2πσ²; the optimal σ² is the mean squared error."""

    def _best_scale(self, error: Float[Array, "batch *event"]) -> Float[Array, ""]:
        # The floor sits inside the root, whose slope at 0 is infinite.
        return jnp.sqrt(jnp.maximum(jnp.mean(jnp.square(error)), MIN_SCALE**2))

    def log_prob(
        self, parameter: Float[Array, "batch *event"], x: Float[Array, "batch *event"]
    ) -> Float[Array, " batch"]:
        """Return the log-density of x, in nats per example."""
        scale = self.scale_of(parameter, x)
        square = jnp.square((x - parameter) / scale)
        return _sum(-0.5 * square - jnp.log(scale) - 0.5 * jnp.log(2 * jnp.pi))


class Laplace(LocationScale):
    """log p(x|z) = Σ -|x - μ|/b - log 2b; the optimal b is the mean absolute error."""

    def _best_scale(self, error: Float[Array, "batch *event"]) -> Float[Array, ""]:
        return jnp.mean(error)

    def log_prob(
        self, parameter: Float[Array, "batch *event"], x: Float[Array, "batch *event"]
    ) -> Float[Array, " batch"]:
        """Return the log-density of x, in nats per example."""
        scale = self.scale_of(parameter, x)
        return _sum(-jnp.abs(x - parameter) / scale - jnp.log(2 * scale))


_FAMILIES: dict[str, type[Likelihood]] = {
    "mse": SquaredError,
    "bce": Bernoulli,
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "continuous_bernoulli": ContinuousBernoulli,
}


def create_likelihood(
    name: str, *, scale: Scale = 1.0, link: Callable[[jax.Array], jax.Array] = lambda x: x
) -> Likelihood:
    """Return a likelihood by name: mse, bce, gaussian, laplace, continuous_bernoulli.

    Args:
        name: the family; bernoulli is another name of bce.
        scale: for gaussian and laplace: a number, "learned" or "optimal".
        link: the decoder's output activation; the Bernoulli families have their own.

    Raises:
        ValueError: for an unknown name, or a scale that the family does not have.

    Examples:
        >>> create_likelihood("gaussian", scale="optimal").scale
        'optimal'
    """
    family = _FAMILIES[checks.one_of("likelihood", name, _FAMILIES)]
    if issubclass(family, LocationScale):
        return family(scale, link)
    if scale != 1.0:
        raise ValueError(f"scale={scale!r} has no meaning for the likelihood {name!r}")
    return family(link) if issubclass(family, SquaredError) else family()


def bits_per_dim(
    log_prob: Float[Array, "*shape"], event_shape: tuple[int, ...], *, levels: int | None = None
) -> Float[Array, "*shape"]:
    """Return -log p / (D log 2) of D features, in bits.

    Args:
        log_prob: log-probability or log-density of an example, in nats.
        event_shape: shape of one example; D is the product.
        levels: for a density of integers k dequantised as (k + u) / levels with u in [0, 1) (256
            for bytes): adds log2(levels), which bounds the bits of the integers.

    Examples:
        >>> float(bits_per_dim(jnp.array(-784 * jnp.log(2.0)), (28, 28, 1)))
        1.0
    """
    bits = -log_prob / (prod(event_shape) * log(2))
    return bits if levels is None else bits + jnp.log2(levels)


def _sum(values: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    return jnp.sum(values.astype(jnp.float32), axis=tuple(range(1, values.ndim)))
