"""A standard normal distribution whose samples pass a learned rejection sampler."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import (
    Distribution,
    Leaf,
    normal_noise,
    widened,
)
from workshop.generative_models.core.distributions.standard_normal import StandardNormal
from workshop.generative_models.core.gaussian import PRNGKey

_LEAST, _MOST = 1e-30, 1 - 1e-6
"""Bounds of Z, between which the density and its gradient are finite in float32."""


class NormaliserEstimate(NamedTuple):
    """An estimate of Z from a batch of proposals, and the average of earlier ones."""

    total: Any
    """Σ_s a(z_s) over proposals z_s from N(0, I)."""
    count: Any
    """S, the number of proposals."""
    average: Any
    """The moving average of earlier estimates."""
    decay: Any
    """The weight of `average` in the value of Z."""

    def smoothed(self, current: jax.Array) -> jax.Array:
        """Return the average moved towards an estimate, with the gradient of the estimate alone."""
        value = self.decay * self.average + (1 - self.decay) * current
        return current + jax.lax.stop_gradient(value - current)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ResampledNormal(Distribution):
    r"""Proposals from N(0, I), accepted with probability a(z), the T-th one in any case.

        p(z) = N(z; 0, I) ((1 - α) a(z) / Z + α),  Z = E_N(0,I)[a(z)],  α = (1 - Z)^(T - 1)

    It integrates to 1 as far as Z is exact. A temperature scales the proposals. Samples have no
    gradient with respect to a, and the mean has no closed form.

    Args:
        size: size of the event axis.
        network: structure of a module that maps z [..., event] to the logit of a, [..., 1].
        weights: its state.
        truncation: T.
        normaliser: Z; not read beside an estimate.
        estimate: a `NormaliserEstimate` of Z, in training; else None.

    References:
        Bauer & Mnih, Resampled Priors for Variational Autoencoders, AISTATS 2019. Code:
        google-research/google-research, eim/models/lars.py.
    """

    size: int = dataclasses.field(metadata={"static": True})
    network: nnx.GraphDef = dataclasses.field(metadata={"static": True})
    weights: Leaf
    truncation: int = dataclasses.field(metadata={"static": True})
    normaliser: Leaf
    estimate: Any = None

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """No batch axes."""
        return ()

    @property
    def event_size(self) -> int:
        """Size of the event axis."""
        return self.size

    @property
    def mean(self) -> jax.Array:
        """Not known."""
        raise NotImplementedError("the mean of a ResampledNormal has no closed form: sample it")

    def log_accept(self, z: jax.Array) -> jax.Array:
        """Return log a(z), [...]."""
        logit = nnx.merge(self.network, self.weights)(z)[..., 0]
        return jax.nn.log_sigmoid(widened(logit))

    def log_prob_of_samples(self, z: ArrayLike, log_q: jax.Array) -> jax.Array:
        r"""Return log p(z) of samples z of q, in training with an estimate of Z of each of them.

            Z(z) = (Σ_s a(z_s) + N(z; 0, I) / q(z) a(z)) / (S + 1)

        Its value is smoothed by the moving average, its gradient is not, and reaches a alone.
        """
        if self.estimate is None:
            return self.log_prob(z)
        z = self._checked("log_prob_of_samples", z)
        fixed = jax.lax.stop_gradient(z)
        log_weight = StandardNormal(self.size).log_prob(fixed) - jax.lax.stop_gradient(log_q)
        total = self.estimate.total + jnp.exp(self.log_accept(fixed) + log_weight)
        # Of Z it is known that it is at most 1; a single weight can be far above that.
        current = jnp.minimum(total / (self.estimate.count + 1), 1.0)
        return self._log_density(z, self.estimate.smoothed(current))

    def _log_prob(self, z: jax.Array) -> jax.Array:
        if self.estimate is None:
            return self._log_density(z, self.normaliser)
        current = self.estimate.total / self.estimate.count
        return self._log_density(z, self.estimate.smoothed(current))

    def _log_density(self, z: jax.Array, normaliser: jax.Array) -> jax.Array:
        normaliser = jnp.clip(normaliser, _LEAST, _MOST)
        log_alpha = (self.truncation - 1) * jnp.log1p(-normaliser)
        log_rest = jnp.log(-jnp.expm1(log_alpha))
        accepted = log_rest + self.log_accept(z) - jnp.log(normaliser)
        return StandardNormal(self.size).log_prob(z) + jnp.logaddexp(accepted, log_alpha)

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        # A loop that ends early has no reverse-mode gradient, and an accepted sample needs none.
        fixed = dataclasses.replace(self, weights=jax.lax.stop_gradient(self.weights))

        def waiting(carry: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
            return ~carry[2].all()

        def propose(
            carry: tuple[jax.Array, jax.Array, jax.Array],
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            number, z, done = carry
            key_of_z, key_of_choice = jax.random.split(jax.random.fold_in(key, number))
            proposed = normal_noise(key_of_z, shape, z.dtype, temperature)
            chance = jax.random.uniform(key_of_choice, shape[:-1])
            accepted = (chance < jnp.exp(fixed.log_accept(proposed))) | (
                number >= self.truncation - 1
            )
            z = jnp.where((accepted & ~done)[..., None], proposed, z)
            return number + 1, z, done | accepted

        start = jnp.zeros((), jnp.int32), jnp.zeros(shape), jnp.zeros(shape[:-1], bool)
        return jax.lax.while_loop(waiting, propose, start)[1]
