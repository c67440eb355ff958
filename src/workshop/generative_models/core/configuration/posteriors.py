"""Configurations of posteriors q(z|x).

A new posterior of this package is added to the union.
"""

from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny

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


AnyPosteriorConfig = DiagonalNormalConfig | PointMassConfig
POSTERIOR_CONFIGS: dict[str, type[PosteriorConfig]] = by_kind(AnyPosteriorConfig)
PosteriorField = Annotated[
    SerializeAsAny[AnyPosteriorConfig],
    Field(discriminator="kind"),
    registered(AnyPosteriorConfig, POSTERIOR_CONFIGS),
]
