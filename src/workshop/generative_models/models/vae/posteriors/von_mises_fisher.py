"""The posterior of the hyperspherical VAE."""

from typing import ClassVar

from workshop.generative_models.core.distributions import VonMisesFisher
from workshop.generative_models.models.vae.posteriors.on_sphere import SpherePosterior


class VonMisesFisherPosterior(SpherePosterior):
    """q(z|x) = vMF(z; μ(x), κ(x)), on the unit sphere of R^latent_dim.

    `latent_dim` counts the coordinates of z; see `SpherePosterior`. Use it with the prior
    `UniformSpherePrior` (--prior.kind uniform_sphere).

    References:
        Davidson, Falorsi, De Cao, Kipf & Tomczak, Hyperspherical Variational Auto-Encoders, UAI
        2018; github.com/nicola-decao/s-vae-pytorch, `examples/mnist.py`.
    """

    distribution: ClassVar = VonMisesFisher
