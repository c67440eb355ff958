"""The base class of posteriors on the sphere."""

from collections.abc import Mapping
from typing import ClassVar

import jax

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions.on_sphere import AroundDirection
from workshop.generative_models.models.vae.posteriors.base import Posterior


class SpherePosterior(Posterior):
    """q(z|x) around a direction on the unit sphere of R^latent_dim.

    `latent_dim` counts the coordinates of z, which has length 1, so that there are latent_dim - 1
    degrees of freedom: to compare with a Gaussian of d latents, take latent_dim = d + 1. The
    feature "mean" is the direction up to a factor; "concentration" is one number u, of which

        κ = softplus(u) + minimum_concentration.

    Args:
        minimum_concentration: the least κ; both papers' implementations take 1, so that q(z|x) does
            not begin as the uniform distribution.

    Raises:
        ValueError: for a latent_dim below 2.
    """

    support: ClassVar[str] = "sphere"
    distribution: ClassVar[type[AroundDirection]]

    def __init__(self, minimum_concentration: float = 1.0):
        self.minimum_concentration = checks.at_least(
            "minimum_concentration", minimum_concentration, 0.0
        )

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of the direction and of u."""
        if latent_dim < 2:
            raise ValueError(
                f"posterior {type(self).__name__} with latent_dim={latent_dim}: a point on a "
                "sphere has at least 2 coordinates, a circle: expected latent_dim of 2 or more"
            )
        return {"mean": latent_dim, "concentration": 1}

    def __call__(self, features: Mapping[str, jax.Array]) -> AroundDirection:
        """Return the distribution around the direction."""
        raised = jax.nn.softplus(features["concentration"][..., 0])
        kappa = raised + self.minimum_concentration
        return self.distribution(features["mean"], kappa)  # type: ignore[call-arg]
