"""The base class of likelihoods, the squared error, and the families with a scale."""

from collections.abc import Callable
from math import exp
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from workshop.generative_models.core.configuration import Scale
from workshop.generative_models.core.gaussian import PRNGKey

MIN_SCALE = exp(-6.0)
"""Learned and optimal scales stay above this, as in the code of Rybkin et al.: a perfect
reconstruction would otherwise have an infinite density."""


def identity(x: jax.Array) -> jax.Array:
    """Return x: the link of means without bounds. One function, so that equal models are equal."""
    return x


@jax.custom_jvp
def softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|), whose derivative is σ(x).

    XLA makes vectors of this on a CPU, three times as fast as `jax.nn.softplus`, which looks for
    NaN on its way.
    """
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


# Given, because the terms' own derivatives meet in a corner at 0.
softplus.defjvps(lambda tangent, _, x: tangent * jax.nn.sigmoid(x))


class Likelihood(nnx.Module):
    """log p(x|z) of one family. Subclasses say how the decoder's output becomes a mean and a score.

    Attributes:
        parameter: the key of a model's outputs that `log_prob` reads.
        support: the data that the family can describe: "unit" for [0, 1], "real" for any number.
        levels: how many values in [0, 1], k / (levels - 1), it gives probabilities to; None for
            a density, or a family that takes any value.
        parameters_per_value: how many numbers the decoder gives for each value of x; several have
            an axis of their own, the last.
    """

    parameter: Literal["logits", "reconstructed"] = "reconstructed"
    support: Literal["unit", "real"] = "real"
    levels: int | None = None
    parameters_per_value: int = 1

    def mean(self, logits: Float[Array, "batch *event"]) -> Float[Array, "batch *event"]:
        """Return E[x|z] from the decoder's output."""
        raise NotImplementedError

    def logits(
        self,
        mean: Float[Array, "batch *event"],  # noqa: ARG002
    ) -> Float[Array, "batch *event"]:
        """Refuse: unless a family says how, its mean does not tell the logits."""
        raise ValueError(
            f"outputs lacks 'logits', which {type(self).__name__} reads: pass what model(x) "
            "returned"
        )

    def log_prob(
        self, parameter: Float[Array, "batch *event"], x: Float[Array, "batch *event"]
    ) -> Float[Array, " batch"]:
        """Return log p(x|z), summed over the features of each example, in nats."""
        raise NotImplementedError

    def sample(
        self, parameter: Float[Array, "batch *event"], key: PRNGKey
    ) -> Float[Array, "batch *event"]:
        """Draw x ~ p(x|z), one for each example.

        Args:
            parameter: what `log_prob` reads.
            key: the random key of the draws.

        Raises:
            NotImplementedError: unless a family defines it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines no sample(parameter, key), which draws x ~ p(x|z): "
            "define it, or leave observation_noise=False to get means"
        )


class SquaredError(Likelihood):
    """The reference's `mse`: log p(x|z) = -Σ (x - μ)², not normalised.

    The density proportional to exp(-Σ (x - μ)²) is a Gaussian of variance ½, in the data's units
    whatever their scale. `sample` draws from it; a "gaussian" likelihood with a learned scale fits
    the variance instead.

    Args:
        link: the decoder's output activation.
    """

    def __init__(self, link: Callable[[jax.Array], jax.Array] = identity):
        self.link = link

    def mean(self, logits: Float[Array, "batch *event"]) -> Float[Array, "batch *event"]:
        """Return μ, the decoder's output through its activation."""
        return self.link(logits)

    def log_prob(
        self, parameter: Float[Array, "batch *event"], x: Float[Array, "batch *event"]
    ) -> Float[Array, " batch"]:
        """Return minus the squared error of each example."""
        return -sum_features(jnp.square(x - parameter))

    def sample(
        self, parameter: Float[Array, "batch *event"], key: PRNGKey
    ) -> Float[Array, "batch *event"]:
        """Draw x ~ N(μ, ½), the density proportional to exp(`log_prob`)."""
        return parameter + jnp.sqrt(0.5) * jax.random.normal(key, parameter.shape, parameter.dtype)


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

    min_scale: float = MIN_SCALE

    def __init__(self, scale: Scale = 1.0, link: Callable[[jax.Array], jax.Array] = identity):
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
            return jnp.exp(self.log_scale[...]) + self.min_scale
        if self.scale == "optimal":
            return jnp.maximum(self._best_scale(jnp.abs(x - mean)), self.min_scale)
        return jnp.asarray(self.scale, mean.dtype)

    def _best_scale(self, error: Float[Array, "batch *event"]) -> Float[Array, ""]:
        raise NotImplementedError

    def sample(
        self, parameter: Float[Array, "batch *event"], key: PRNGKey
    ) -> Float[Array, "batch *event"]:
        """Draw x = μ + scale · ε, with ε standard noise of the family.

        Raises:
            ValueError: if the scale is "optimal", which only data tells.
        """
        if self.scale == "optimal":
            raise ValueError(
                "scale='optimal' is computed from data, and there is none to draw x ~ p(x|z) with: "
                "use fix_scale(model, training_data) of evaluation.likelihood in place of the "
                "model, or train with scale='learned'"
            )
        noise = self._standard_noise(key, parameter.shape).astype(parameter.dtype)
        return parameter + self.scale_of(parameter, parameter) * noise

    def _standard_noise(self, key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "..."]:
        raise NotImplementedError


def sum_features(values: Float[Array, "batch *event"]) -> Float[Array, " batch"]:
    """Return the sum over the features of each example, in float32."""
    return jnp.sum(values.astype(jnp.float32), axis=tuple(range(1, values.ndim)))
