"""Elementwise affine maps."""

import dataclasses

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections.base import (
    VECTOR,
    Bijection,
    Leaf,
)

_LARGEST = 8.0
"""Limit of log-scales that networks give: a factor of 3,000, which float32 bears many times."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Affine(Bijection):
    """y = exp(a) ⊙ x + m, log |det| = Σ a.

    Args:
        shift: m, [*batch, event].
        log_scale: a, [*batch, event].
    """

    shift: Leaf = dataclasses.field(metadata=VECTOR)
    log_scale: Leaf = dataclasses.field(metadata=VECTOR)

    @property
    def event_size(self) -> int:
        """Size of x."""
        return self.shift.shape[-1]

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.exp(self.log_scale) * x + self.shift, self.log_scale.sum()

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (y - self.shift) * jnp.exp(-self.log_scale), -self.log_scale.sum()


def affine(raw: jax.Array) -> Affine:
    """Return the affine map of a network's output, (event, 2); log-scales are bounded by ±8."""
    return Affine(raw[:, 0], _LARGEST * jnp.tanh(raw[:, 1] / _LARGEST))


def gated(raw: jax.Array) -> Affine:
    """Return y = σ ⊙ x + (1 - σ) ⊙ m with σ = sigmoid(s + 1), of a network's output (event, 2).

    The 1 lets the map begin near the identity, as the forget gate of an LSTM.

    References:
        Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, NeurIPS
        2016, algorithm 1; `models/flows.py` of riannevdberg/sylvester-flows.
    """
    s = jnp.clip(raw[:, 1] + 1, -_LARGEST)
    return Affine(jax.nn.sigmoid(-s) * raw[:, 0], jax.nn.log_sigmoid(s))
