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


class DeltaConfig(PosteriorConfig):
    """A diagonal normal distribution with a least KL from N(0, 1) (Razavi et al. 2019)."""

    kind: Literal["delta"] = "delta"
    """Kind of posterior."""
    rate: float = Field(default=0.1, gt=0.0, le=5.0)
    """The least KL of each latent, in nats."""


AnyPosteriorConfig = DiagonalNormalConfig | PointMassConfig | DeltaConfig
POSTERIOR_CONFIGS: dict[str, type[PosteriorConfig]] = by_kind(AnyPosteriorConfig)
PosteriorField = Annotated[
    SerializeAsAny[AnyPosteriorConfig],
    Field(discriminator="kind"),
    registered(AnyPosteriorConfig, POSTERIOR_CONFIGS),
]
