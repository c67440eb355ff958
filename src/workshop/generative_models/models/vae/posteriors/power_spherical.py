"""The power spherical posterior."""

from typing import ClassVar

from workshop.generative_models.core.distributions import PowerSpherical
from workshop.generative_models.models.vae.posteriors.on_sphere import SpherePosterior


class PowerSphericalPosterior(SpherePosterior):
    """q(z|x) = PowerSpherical(z; μ(x), κ(x)), on the unit sphere of R^latent_dim.

    `latent_dim` counts the coordinates of z; see `SpherePosterior`. Use it with the prior
    `UniformSpherePrior` (--prior.kind uniform_sphere).

    References:
        De Cao & Aziz, The Power Spherical distribution, 2020; github.com/nicola-decao/
        power_spherical.
    """

    distribution: ClassVar = PowerSpherical
