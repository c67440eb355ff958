"""Distributions of a bijection's values."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.bijections import Bijection
from workshop.generative_models.core.distributions.base import Distribution, widened
from workshop.generative_models.core.distributions.divergence import kl, register_kl
from workshop.generative_models.core.distributions.standard_normal import StandardNormal
from workshop.generative_models.core.gaussian import PRNGKey


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Transformed(Distribution):
    """z = f(z_0), z_0 from a base distribution.

    log p(z) = log p_0(z_0) - log |det ∂f/∂z_0|

    The density of a sample is computed from its own z_0, without f⁻¹. A temperature is that of the
    base. There is no formula for the mean of most flows: `mean` is f of the base's mean, which is
    the mean if f is affine.

    Args:
        base: the distribution of z_0.
        bijection: f; batch axes of its parameters broadcast against those of the base.

    Raises:
        ValueError: if the sizes differ, when the distribution is used.

    References:
        Rezende & Mohamed, Variational Inference with Normalizing Flows, ICML 2015; `transformed.py`
        of google-deepmind/distrax.

    Example:
        >>> from workshop.generative_models.core.bijections import Affine
        >>> p = Transformed(StandardNormal(2), Affine(jnp.ones(2), jnp.zeros(2)))
        >>> p.log_prob(jnp.ones((8, 2))).shape
        (8,)
    """

    base: Distribution
    bijection: Bijection

    @property
    def explicit_density(self) -> bool:  # type: ignore[override]
        """Whether log_prob is a formula, as that of the base and the inverse of the bijection."""
        return self.base.explicit_density and self.bijection.explicit_inverse

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes of base and bijection."""
        return jnp.broadcast_shapes(self.base.batch_shape, self.bijection.batch_shape)

    @property
    def event_size(self) -> int:
        """Size of the event axis."""
        return self.base.event_size

    @property
    def mean(self) -> jax.Array:
        """F of the mean of the base, [*batch, event]."""
        return self.bijection.forward(self.base.mean)[0]

    def _extra(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return what the base is sampled with so that it has samples of this shape."""
        return shape[: len(shape) - 1 - len(self.base.batch_shape)]

    def _sample(self, key: PRNGKey, shape: tuple[int, ...], temperature: ArrayLike) -> jax.Array:
        start = self.base.sample(key, self._extra(shape), temperature=temperature)
        return self.bijection.forward(start)[0]

    def _log_prob(self, z: jax.Array) -> jax.Array:
        start, log_det = self.bijection.inverse(z)
        return self.base.log_prob(start) + log_det

    def _sample_and_log_prob(
        self, key: PRNGKey, shape: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        start, log_p = self.base.sample_and_log_prob(key, self._extra(shape))
        z, log_det = self.bijection.forward(widened(start))
        return z, log_p - log_det


@register_kl(Transformed, StandardNormal)
def _(q: Transformed, p: StandardNormal) -> jax.Array | None:
    """KL to N(0, I), which a rotation does not change."""
    closed = kl(q.base, p) if q.bijection.orthogonal else None
    if closed is None:
        return None
    total = closed.sum(-1) if q.base.factorises else closed
    return jnp.broadcast_to(total, q.batch_shape)
