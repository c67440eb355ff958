"""Von Mises-Fisher distributions."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions.base import Leaf
from workshop.generative_models.core.distributions.divergence import register_kl
from workshop.generative_models.core.distributions.on_sphere import AroundDirection
from workshop.generative_models.core.distributions.uniform_sphere import UniformSphere
from workshop.generative_models.core.spherical import log_mean_exp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class VonMisesFisher(AroundDirection):
    r"""vMF(μ, κ) on the unit sphere of R^m: the density grows with exp(κ μ·z).

    log p(z) = κ μ·z + ν log κ - (ν + 1) log 2π - log I_ν(κ),  ν = m / 2 - 1

    The event axis has the m coordinates. Samples are reparameterised in both parameters, without
    rejection: the angle between z and μ is the inverse of its distribution function. Everything is
    exact to float32 for m from 2 to 512 and κ from 0, the uniform distribution, to 1e5.

    Args:
        direction: μ, up to a factor, [*batch, m]; zeros stand for the first axis.
        concentration: κ, [*batch]; clipped to [0, 1e5].

    Raises:
        ValueError: if the shapes do not fit or m is below 2, when the distribution is used.

    References:
        Davidson, Falorsi, De Cao, Kipf & Tomczak, Hyperspherical Variational Auto-Encoders, UAI
        2018; github.com/nicola-decao/s-vae-pytorch, `hyperspherical_vae/distributions`, whose
        density this is. It samples w by rejection in float64, and takes its gradient as if every
        proposal were accepted.

    Example:
        >>> q = VonMisesFisher(jnp.ones((8, 3)), jnp.full(8, 10.0))
        >>> z, log_q = q.sample_and_log_prob(jax.random.key(0), (5,))
        >>> z.shape, log_q.shape, bool(jnp.allclose(jnp.linalg.norm(z, axis=-1), 1))
        ((5, 8, 3), (5, 8), True)
    """

    log_largest: ClassVar[float] = 1.0

    direction: Leaf
    concentration: Leaf

    def _log_mean(self, kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
        return log_mean_exp(kappa, self.event_size)

    def _log_shape(self, kappa: jax.Array, fall: jax.Array, gap: ArrayLike) -> jax.Array:  # noqa: ARG002
        return -kappa * fall

    def _peak(self, kappa: jax.Array) -> tuple[jax.Array, jax.Array]:
        power = self.event_size - 2
        kappa = jnp.maximum(kappa, 1e-6)  # at 0 a circle has no mode
        root = jnp.sqrt(power**2 + 4 * jnp.square(kappa))
        gap = (power + power**2 / (root + 2 * kappa)) / (power + root)
        around = power / (gap * (2 - gap)) if power else 0.0
        return gap, kappa * (1 - gap) + around


@register_kl(VonMisesFisher, UniformSphere)
def _(q: VonMisesFisher, p: UniformSphere) -> jax.Array:  # noqa: ARG001
    return q.kl_to_uniform()
