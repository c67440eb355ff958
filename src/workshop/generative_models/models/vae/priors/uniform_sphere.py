"""The uniform prior on the sphere."""

from collections.abc import Mapping
from typing import Any, ClassVar

from workshop.generative_models.core.distributions import UniformSphere
from workshop.generative_models.models.vae.priors.base import Prior


class UniformSpherePrior(Prior):
    """p(z) uniform on the unit sphere of R^latent_dim, the prior of posteriors on the sphere.

    Args:
        latent_dim: number of coordinates of z, which has length 1; at least 2.
        rngs: not used; priors with parameters are given it.

    References:
        Davidson, Falorsi, De Cao, Kipf & Tomczak, Hyperspherical Variational Auto-Encoders, UAI
        2018; github.com/nicola-decao/s-vae-pytorch,
        `hyperspherical_vae/distributions/hyperspherical_uniform.py`.
    """

    support: ClassVar[str] = "sphere"

    def __init__(self, latent_dim: int, *, rngs: Any = None):  # noqa: ARG002
        if latent_dim < 2:
            raise ValueError(
                f"UniformSpherePrior(latent_dim={latent_dim}): a point on a sphere has at least 2 "
                "coordinates: expected latent_dim of 2 or more"
            )
        self.latent_dim = latent_dim

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> UniformSphere:  # noqa: ARG002
        """Return the uniform distribution."""
        return UniformSphere(self.latent_dim)
