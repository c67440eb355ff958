"""Probabilities of data that have a finite number of levels, such as the bytes of an image.

Level k of L is the number k / (L - 1) in [0, 1]. These are probability mass functions: -log p(x|z)
counts nats that a code for the integers would need, with nothing to add for dequantisation.
"""

from collections.abc import Callable
from math import pi

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from workshop.generative_models.core.configuration import Scale, check_likelihood
from workshop.generative_models.core.gaussian import PRNGKey
from workshop.generative_models.core.likelihood_base import (
    Batch,
    Likelihood,
    LocationScale,
    PerExample,
    identity,
    softplus,
    sum_features,
)


class DiscretizedLogistic(LocationScale):
    """A logistic density gathered into the levels: log p(x|z) = Σ log[σ(a) - σ(b)].

        a = (x + ½ step - μ) / s,  b = (x - ½ step - μ) / s,  step = 1 / (levels - 1);

    the first level takes all that lies below it, σ(a), and the last all above, 1 - σ(b). So μ, the
    `mean`, is E[x|z] but for the open ends.

    Args:
        scale: s, in units of data in [0, 1], or "learned" for one parameter shared by all features.
        link: the decoder's output activation, which gives μ.
        levels: how many values a feature can have, from 2 to 65,536.

    Raises:
        ValueError: if `scale` is "optimal" or no positive number, or `levels` is out of range.

    References:
        Kingma et al., Improved Variational Inference with Inverse Autoregressive Flow, NeurIPS
        2016; Salimans et al., PixelCNN++, ICLR 2017.

    Examples:
        >>> likelihood = DiscretizedLogistic(0.1, levels=3)
        >>> p = [jnp.exp(likelihood.log_prob(jnp.array([[0.4]]), jnp.array([[x]])))[0]
        ...      for x in (0.0, 0.5, 1.0)]
        >>> [round(float(value), 4) for value in p]
        [0.1824, 0.7883, 0.0293]
    """

    support = "unit"
    levels: int
    scale_of_unit_spread = 3**0.5 / pi
    standard_noise = staticmethod(jax.random.logistic)

    def __init__(
        self,
        scale: Scale = 1.0,
        link: Callable[[jax.Array], jax.Array] = identity,
        levels: int = 256,
    ):
        check_likelihood("discretized_logistic", scale, levels)
        super().__init__(scale, link)
        self.levels = levels
        # A probability is at most 1, so that this floor only guards the quotient: at a hundredth of
        # a step a level is certain to e⁻⁵⁰.
        self.min_scale = 0.01 / (levels - 1)

    def log_prob(self, parameter: Batch, x: Batch) -> PerExample:
        """Return the log-probability of the levels nearest to x, in nats per example."""
        scale = self.scale_of(parameter, x)
        step, last = 1 / (self.levels - 1), self.levels - 1
        k = _nearest_level(x, self.levels)
        distance = k * step - parameter
        # σ(a) - σ(b) = σ(a) σ(-b) (1 - exp(b - a)), where b - a is the same for all features: no
        # difference of two numbers near 1, or near 0, is taken. An open end has no factor for it.
        log_below_a = -softplus(-(distance + step / 2) / scale)
        log_above_b = -softplus((distance - step / 2) / scale)
        log_width = jnp.log(-jnp.expm1(-step / scale))
        first, final = k == 0, k == last
        return sum_features(
            jnp.where(final, 0.0, log_below_a)
            + jnp.where(first, 0.0, log_above_b)
            + jnp.where(first | final, 0.0, log_width)
        )

    def sample(self, parameter: Batch, key: PRNGKey) -> Batch:
        """Draw levels k / (levels - 1): the logistic's draws, rounded to the nearest one."""
        drawn = super().sample(parameter, key)
        return _level_values(_nearest_level(drawn, self.levels), self.levels)


class Categorical(Likelihood):
    """A probability of its own for each level: log p(x|z) = Σ l_k - log Σ_j exp(l_j).

    The decoder gives `levels` logits for each feature, (batch, *event, levels). With two levels
    this is a Bernoulli whose logit is l_1 - l_0.

    Args:
        levels: how many values a feature can have, from 2 to 65,536.

    Raises:
        ValueError: if `levels` is out of range.

    References:
        van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural Networks, ICML 2016.

    Examples:
        >>> likelihood = Categorical(levels=3)
        >>> logits = jnp.log(jnp.array([[[0.2, 0.3, 0.5]]]))  # one example of one feature
        >>> round(float(jnp.exp(likelihood.log_prob(logits, jnp.array([[0.5]]))[0])), 4)
        0.3
        >>> round(float(likelihood.mean(logits)[0, 0]), 4)
        0.65
    """

    parameter = "logits"
    support = "unit"
    levels: int

    def __init__(self, levels: int = 256):
        check_likelihood("categorical", 1.0, levels)
        self.levels = self.parameters_per_value = levels

    def mean(self, logits: Float[Array, "batch *event levels"]) -> Batch:
        """Return E[x|z] = Σ_k p_k k / (levels - 1)."""
        values = jnp.linspace(0.0, 1.0, self.levels)
        # A sum and not a product of matrices, which accelerators round to few digits; it may still
        # leave [0, 1] by a rounding.
        return jnp.minimum(jnp.sum(jax.nn.softmax(logits) * values, axis=-1), 1.0)

    def log_prob(self, parameter: Float[Array, "batch *event levels"], x: Batch) -> PerExample:
        """Return the log-probability of the levels nearest to x, in nats per example."""
        k = _nearest_level(x, self.levels)
        chosen = jnp.take_along_axis(parameter, k[..., None], axis=-1)[..., 0]
        # The largest logit is taken off each side before, so that what all have in common costs no
        # digits; it cancels, and so needs no gradient.
        largest = jax.lax.stop_gradient(parameter.max(-1))
        total = jnp.sum(jnp.exp(parameter - largest[..., None]), axis=-1)
        return sum_features(chosen - largest - jnp.log(total))

    def sample(self, parameter: Float[Array, "batch *event levels"], key: PRNGKey) -> Batch:
        """Draw levels k / (levels - 1) with the probabilities of the logits."""
        return _level_values(jax.random.categorical(key, parameter), self.levels)


def _level_values(k: Int[Array, "*shape"], levels: int) -> Float[Array, "*shape"]:
    """Return k / (levels - 1), looked up: compiled, a quotient may differ in its last digit."""
    return jnp.asarray(np.linspace(0, 1, levels, dtype=np.float32))[k]


def _nearest_level(x: Float[Array, "*shape"], levels: int) -> Int[Array, "*shape"]:
    """Return the level 0 <= k < levels nearest to x; a model's `check_data` refuses other data."""
    last = levels - 1
    return jnp.clip(jnp.round(x.astype(jnp.float32) * last), 0, last).astype(jnp.int32)
