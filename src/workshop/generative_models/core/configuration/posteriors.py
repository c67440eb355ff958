"""Configurations of the approximate posterior q(z|x)."""

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
"""The posteriors of this package by `kind`: a new one is added to this union."""
POSTERIOR_CONFIGS: dict[str, type[PosteriorConfig]] = by_kind(AnyPosteriorConfig)
"""The posteriors by kind."""
PosteriorField = Annotated[
    SerializeAsAny[AnyPosteriorConfig],
    Field(discriminator="kind"),
    registered(AnyPosteriorConfig, POSTERIOR_CONFIGS),
]
"""The type of a field that holds one of them."""
