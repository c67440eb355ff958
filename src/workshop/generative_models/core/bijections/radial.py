"""Radial flows."""

import dataclasses

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections.base import (
    SCALAR,
    VECTOR,
    Bijection,
    Leaf,
)

_SMALLEST, _LARGEST = 1e-24, 1e36
"""Limits of squared distances, where roots and squares keep finite gradients."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Radial(Bijection):
    r"""y = x + β (x - c) / (α + r), r = |x - c|, with α = exp(a) and β = softplus(b) - α.

    Then β > -α, so that the map is invertible, and with h = 1 / (α + r)

        log |det| = (D - 1) log(1 + βh) + log(1 + βh - βrh²).

    The distance R = |y - c| is r (1 + βh), a quadratic equation for r.

    Args:
        centre: c, [*batch, event].
        log_alpha: a, [*batch].
        beta: b, [*batch], unconstrained.

    References:
        Rezende & Mohamed, Variational Inference with Normalizing Flows, ICML 2015, equation 14 and
        appendix A.2; `radial_flow_model.py` of Pythae (clementchadebec/benchmark_VAE).
    """

    centre: Leaf = dataclasses.field(metadata=VECTOR)
    log_alpha: Leaf = dataclasses.field(metadata=SCALAR)
    beta: Leaf = dataclasses.field(metadata=SCALAR)

    @property
    def event_size(self) -> int:
        """Size of x."""
        return self.centre.shape[-1]

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        alpha, positive = jnp.exp(self.log_alpha), jax.nn.softplus(self.beta)
        offset = x - self.centre
        r = _distance(offset)
        # 1 + βh and 1 + βh - βrh² over the common denominator: sums of positive terms.
        log_stretch = jnp.log(r + positive) - jnp.log(r + alpha)
        log_along = jnp.log(r * (r + 2 * alpha) + alpha * positive) - 2 * jnp.log(r + alpha)
        y = x + (positive - alpha) / (alpha + r) * offset
        return y, (len(x) - 1) * log_stretch + log_along

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        alpha, positive = jnp.exp(self.log_alpha), jax.nn.softplus(self.beta)
        offset = y - self.centre
        distance = _distance(offset)
        # r² + (softplus(b) - R) r - αR = 0, each root where it does not cancel.
        half = 0.5 * (distance - positive)
        root = jnp.sqrt(jnp.square(half) + alpha * distance)
        r = jnp.where(half > 0, half + root, alpha * distance / (jnp.abs(half) + root))
        x = self.centre + (alpha + r) / (r + positive) * offset
        return x, -self._forward(x)[1]


def _distance(offset: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.clip(jnp.square(offset).sum(), _SMALLEST, _LARGEST))
