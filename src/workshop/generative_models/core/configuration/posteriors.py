"""Configurations of posteriors q(z|x).

A new posterior of this package is added to the union.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, SerializeAsAny

from workshop.generative_models.core.configuration.base import Config, by_kind, registered


class PosteriorConfig(Config):
    """Base class of the configurations of posteriors."""


class DiagonalNormalConfig(PosteriorConfig):
    """A normal distribution with a diagonal covariance."""

    kind: Literal["diagonal_normal"] = "diagonal_normal"
    """Kind of posterior."""


class PointMassConfig(PosteriorConfig):
    """All probability at one point, as in an autoencoder: it has no density."""

    kind: Literal["point_mass"] = "point_mass"
    """Kind of posterior."""


class _SphereConfig(PosteriorConfig):
    """What the configurations of posteriors on the sphere share."""

    minimum_concentration: NonNegativeFloat = 1.0
    """The least concentration κ; at 0 the posterior is uniform."""


class VonMisesFisherConfig(_SphereConfig):
    """A von Mises-Fisher distribution on the unit sphere, with latent_dim coordinates.

    Its prior is uniform_sphere.
    """

    kind: Literal["von_mises_fisher"] = "von_mises_fisher"
    """Kind of posterior."""


class PowerSphericalConfig(_SphereConfig):
    """A power spherical distribution on the unit sphere, with latent_dim coordinates.

    Its prior is uniform_sphere.
    """

    kind: Literal["power_spherical"] = "power_spherical"
    """Kind of posterior."""


class WrappedNormalConfig(PosteriorConfig):
    """A normal distribution wrapped onto the Poincaré ball; its prior is wrapped_normal."""

    kind: Literal["wrapped_normal"] = "wrapped_normal"
    """Kind of posterior."""


AnyPosteriorConfig = (
    DiagonalNormalConfig
    | PointMassConfig
    | VonMisesFisherConfig
    | PowerSphericalConfig
    | WrappedNormalConfig
)
POSTERIOR_CONFIGS: dict[str, type[PosteriorConfig]] = by_kind(AnyPosteriorConfig)
PosteriorField = Annotated[
    SerializeAsAny[AnyPosteriorConfig],
    Field(discriminator="kind"),
    registered(AnyPosteriorConfig, POSTERIOR_CONFIGS),
]
