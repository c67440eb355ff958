"""The base class of likelihoods, the squared error, and the families with a scale."""

from collections.abc import Callable
from math import exp
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from workshop.generative_models.core.configuration import Scale
from workshop.generative_models.core.gaussian import PRNGKey
from workshop.generative_models.core.moments import Moments, Standardization
from workshop.generative_models.core.pickling import Picklable

MIN_SCALE = exp(-6.0)
"""Learned and optimal scales stay above this, as in the code of Rybkin et al.: a perfect
reconstruction would otherwise have an infinite density."""
Batch = Float[Array, "batch *event"]
"""Data, or means of it: (batch, *event)."""
PerExample = Float[Array, " batch"]
"""A number for each example: (batch,)."""
_EDGE = 0.01
"""How far from the bounds of its link a decoder's output begins, at least."""


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


class Likelihood(Picklable, nnx.Module):
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

    def mean(self, logits: Batch) -> Batch:
        """Return E[x|z] from the decoder's output."""
        raise NotImplementedError

    def logits(self, mean: Batch) -> Batch:  # noqa: ARG002
        """Refuse: unless a family says how, its mean does not tell the logits."""
        raise ValueError(
            f"outputs lacks 'logits', which {type(self).__name__} reads: pass what model(x) "
            "returned"
        )

    def log_prob(self, parameter: Batch, x: Batch) -> PerExample:
        """Return log p(x|z), summed over the features of each example, in nats."""
        raise NotImplementedError

    def initialize(self, moments: Moments) -> None:
        """Set what depends on the training data, before the first step; default: nothing."""

    def initial_output(self, mean: Float[np.ndarray, "*shape"]) -> np.ndarray | None:  # noqa: ARG002
        """Return the decoder's outputs to begin with, from the data's mean; None: zeros."""
        return None

    def standardized(self, x: Batch) -> Batch:
        """Return data as the encoder reads it; default: as it is."""
        return x

    def sample(self, parameter: Batch, key: PRNGKey) -> Batch:
        """Draw x ~ p(x|z), one for each example, from what `log_prob` reads."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no sample(parameter, key), which draws x ~ p(x|z)"
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

    def mean(self, logits: Batch) -> Batch:
        """Return μ, the decoder's output through its activation."""
        return self.link(logits)

    def initial_output(self, mean: Float[np.ndarray, "*shape"]) -> np.ndarray | None:
        """Return what the link maps to the mean of the data; None if its inverse is not known.

        From outputs of zero the first steps move all pixels towards the mean at once. In images
        that are mostly black this can carry a sigmoid to where it is flat: the squared error has
        no gradient there, and the model keeps one image for all inputs. Means are held within 0.01
        of the bounds, for the same reason.
        """
        if self.link is jax.nn.sigmoid:
            share = np.clip(mean, _EDGE, 1 - _EDGE)
            return np.log(share / (1 - share))
        if self.link is jnp.tanh:
            return np.arctanh(np.clip(mean, _EDGE - 1, 1 - _EDGE))
        return mean if self.link is identity else None

    def log_prob(self, parameter: Batch, x: Batch) -> PerExample:
        """Return minus the squared error of each example."""
        return -sum_features(jnp.square(x - parameter))

    def sample(self, parameter: Batch, key: PRNGKey) -> Batch:
        """Draw x ~ N(μ, ½), the density proportional to exp(`log_prob`)."""
        return parameter + jnp.sqrt(0.5) * jax.random.normal(key, parameter.shape, parameter.dtype)


class LocationScale(SquaredError):
    """A family with a mean and a scale.

    With `standardize` the decoder and the scale count in standard deviations s of each feature of
    the training data, from its mean m: μ = m + s ⊙ link(output), and the scale in the data's units
    is s times that of standardised data. The density is one of the data itself, log p(x) =
    log p((x - m)/s) - Σ log s. Until `initialize` has filled them in, m is 0 and s is 1.

    Args:
        scale: a positive number, "learned" for one parameter shared by all features, "per_feature"
            for one of each, or "optimal" for the maximum-likelihood scale of each batch, in closed
            form. In the data's units, or in standard deviations with `standardize`.
        link: the decoder's output activation.
        event_shape: shape of one example, for "per_feature" and `standardize`.
        standardize: count in standard deviations of the training data.

    Attributes:
        units: m and s, with `standardize`; else None.

    References:
        Rybkin, Daniilidis & Levine, Simple and Effective VAE Training with Calibrated Decoders,
        ICML 2021.
    """

    min_scale: float = MIN_SCALE
    scale_of_unit_spread: float = 1.0
    """The scale at which a feature has a standard deviation of 1."""
    standard_noise: Callable[..., jax.Array]
    """(key, shape) -> noise of the family around a mean of 0, at a scale of 1."""

    def __init__(
        self,
        scale: Scale = 1.0,
        link: Callable[[jax.Array], jax.Array] = identity,
        *,
        event_shape: tuple[int, ...] | None = None,
        standardize: bool = False,
    ):
        super().__init__(link)
        fixed = not isinstance(scale, str | None) and 0 < scale < float("inf")
        if not fixed and scale not in ("learned", "per_feature", "optimal"):
            raise ValueError(
                f"scale={scale!r}: expected a positive number, 'learned' or 'per_feature', or "
                "'optimal'"
            )
        needs = "scale='per_feature'" if scale == "per_feature" else "standardize=True"
        if event_shape is None and (standardize or scale == "per_feature"):
            raise ValueError(
                f"{needs} needs event_shape, the shape of one example: give the decoder an "
                "attribute output_shape"
            )
        shape = event_shape if scale == "per_feature" else ()
        self.scale = scale
        learned = scale in ("learned", "per_feature")
        self.log_scale = nnx.Param(jnp.zeros(shape)) if learned else None
        self.units = Standardization(event_shape) if standardize and event_shape else None

    def initialize(self, moments: Moments) -> None:
        """Fill in the statistics of the training data, and a learned scale's first value.

        That is the scale around the mean of each feature, or the root mean square of these. Nothing
        is changed that has been set or trained before.
        """
        spread = moments.spread
        if self.units is not None:
            self.units.fill(moments)
            spread = spread / np.asarray(self.units.spread[...], np.float64)
        if self.log_scale is None or np.any(self.log_scale[...]):
            return
        scale = self.scale_of_unit_spread * spread
        if not self.log_scale.shape:
            scale = np.sqrt(np.mean(np.square(scale)))
        # The floor is added on top; a constant feature tells nothing of the noise of others.
        above = np.maximum(scale - self.min_scale, 0.1 * self.min_scale)
        self.log_scale[...] = jnp.asarray(np.where(scale > 0, np.log(above), 0.0), jnp.float32)

    def initial_output(self, mean: Float[np.ndarray, "*shape"]) -> np.ndarray | None:
        """Return what the link maps to the mean of the data; None with `standardize`: m is that."""
        return super().initial_output(mean) if self.units is None else None

    def standardized(self, x: Batch) -> Batch:
        """Return (x - m) / s, what the encoder reads; x itself without `standardize`."""
        return x if self.units is None else self.units(x)

    def mean(self, logits: Batch) -> Batch:
        """Return μ, the decoder's output through its activation, in the data's units."""
        mean = self.link(logits)
        return mean if self.units is None else self.units.undo(mean)

    def relative(self, error: Batch) -> Batch:
        """Return a difference in standard deviations with `standardize`, else as it is.

        The families divide by s and by `relative_scale` in turn, as the gradient of a quotient by
        both has a square beyond float32.
        """
        return error if self.units is None else error / self.units.spread[...]

    def log_units(self) -> Float[Array, ""]:
        """Return Σ log s, which turns a density of standardised data into one of the data."""
        return jnp.zeros(()) if self.units is None else jnp.log(self.units.spread[...]).sum()

    def relative_scale(self, mean: Batch, x: Batch) -> Float[Array, "*feature"]:
        """Return the scale in standard deviations with `standardize`, else in the data's units."""
        if self.log_scale is not None:
            # Added, and not a maximum, below which the parameter would have no gradient.
            return jnp.exp(self.log_scale[...]) + self.min_scale
        if self.scale == "optimal":
            return self.best_scale(jnp.abs(self.relative(x - mean)))
        return jnp.asarray(self.scale, mean.dtype)

    def scale_of(self, mean: Batch, x: Batch) -> Float[Array, "*feature"]:
        """Return the scale of p(x|z) in the data's units: one, or one for each feature."""
        scale = self.relative_scale(mean, x)
        return scale if self.units is None else self.units.spread[...] * scale

    def best_scale(self, error: Float[Array, "*shape"]) -> Float[Array, ""]:
        """Return the maximum-likelihood scale of absolute errors, not below the floor."""
        return jnp.maximum(self._best_scale(error), self.min_scale)

    def _best_scale(self, error: Float[Array, "*shape"]) -> Float[Array, ""]:
        raise NotImplementedError

    def with_scale(self, scale: float | Literal["optimal"]) -> "LocationScale":
        """Return a copy with another scale, a number or the best one of each batch."""
        copy = nnx.clone(self)
        copy.scale, copy.log_scale = scale, None
        return copy

    def sample(self, parameter: Batch, key: PRNGKey) -> Batch:
        """Draw x = μ + scale · ε, with ε standard noise of the family.

        Raises:
            ValueError: if the scale is "optimal", which only data tells.
        """
        if self.scale == "optimal":
            raise ValueError(
                "scale='optimal' is computed from data, and there is none to draw x ~ p(x|z) with: "
                "use fix_scale(model, training_data) of evaluation.bounds in place of the "
                "model, or train with scale='learned'"
            )
        noise = self.standard_noise(key, parameter.shape).astype(parameter.dtype)
        return parameter + self.scale_of(parameter, parameter) * noise


def check_draws(likelihood: Likelihood) -> None:
    """Refuse to draw from a family with a `log_prob` of its own and the draws of its base class."""
    classes = type(likelihood).__mro__

    def defined_by(*names: str) -> int:
        return next(i for i, c in enumerate(classes) if any(name in vars(c) for name in names))

    if defined_by("sample", "standard_noise") > defined_by("log_prob"):
        raise ValueError(
            f"observation_noise=True: {type(likelihood).__name__} defines log_prob and no "
            "sample(parameter, key), which draws x ~ p(x|z): define it (of a LocationScale, "
            "standard_noise(key, shape) is enough), or leave observation_noise=False to get means"
        )


def sum_features(values: Batch) -> PerExample:
    """Return the sum over the features of each example, in float32."""
    return jnp.sum(values.astype(jnp.float32), axis=tuple(range(1, values.ndim)))
