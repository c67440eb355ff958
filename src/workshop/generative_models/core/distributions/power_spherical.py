"""Power spherical distributions."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import Leaf
from workshop.generative_models.core.distributions.divergence import register_kl
from workshop.generative_models.core.distributions.on_sphere import AroundDirection
from workshop.generative_models.core.distributions.uniform_sphere import UniformSphere
from workshop.generative_models.core.spherical import log_mean_power


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PowerSpherical(AroundDirection):
    r"""A density on the unit sphere of R^m that grows with (1 + μ·z)^κ.

    log p(z) = κ log(1 + μ·z) - (α + β) log 2 - β log π - log Γ(α) + log Γ(α + β),

    α = β + κ and β = (m - 1) / 2. It looks like a von Mises-Fisher distribution, of half the
    concentration, and is 0 at -μ.

    The event axis has the m coordinates. Samples are reparameterised in both parameters, without
    rejection. Everything is exact to float32 for m from 2 to 512 and κ from 0, the uniform
    distribution, to 1e5.

    Args:
        direction: μ, up to a factor, [*batch, m]; zeros stand for the first axis.
        concentration: κ, [*batch]; clipped to [0, 1e5].

    Raises:
        ValueError: if the shapes do not fit or m is below 2, when the distribution is used.

    References:
        De Cao & Aziz, The Power Spherical distribution, 2020; github.com/nicola-decao/
        power_spherical, `power_spherical/distributions.py`, whose density and divergence these are.
        It draws (1 + w) / 2 from Beta(α, β), of which this is the inverse distribution function.

    Example:
        >>> q = PowerSpherical(jnp.ones((8, 3)), jnp.full(8, 10.0))
        >>> q.log_prob(q.mean).shape
        (8,)
    """

    log_largest: ClassVar[float] = math.log(2)

    direction: Leaf
    concentration: Leaf

    def _log_mean(self, kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
        return log_mean_power(kappa, self.event_size)

    def _log_shape(self, kappa: jax.Array, fall: jax.Array, gap: ArrayLike) -> jax.Array:
        # Opposite to μ the density is 0; its logarithm stays finite.
        return kappa * jnp.log1p(-jnp.minimum(fall / (2 - gap), 1 - 1e-7))

    def _peak(self, kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
        power = self.event_size - 2
        kappa = jnp.maximum(kappa, 1e-6)  # at 0 a circle has no mode
        gap = power / (kappa + power)
        around = power / (gap * (2 - gap)) if power else 0.0
        return gap, kappa / (2 - gap) + around


@register_kl(PowerSpherical, UniformSphere)
def _(q: PowerSpherical, p: UniformSphere) -> jax.Array:  # noqa: ARG001
    return q.kl_to_uniform()
