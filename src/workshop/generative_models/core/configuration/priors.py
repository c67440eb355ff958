"""Configurations of priors p(z).

A new prior of this package is added to the union.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, SerializeAsAny

from workshop.generative_models.core.configuration.base import Config, by_kind, registered


class LatentPriorConfig(Config):
    """Base class of the configurations of priors."""


class StandardNormalConfig(LatentPriorConfig):
    """The standard normal distribution N(0, I)."""

    kind: Literal["standard_normal"] = "standard_normal"
    """Kind of prior."""


class MixtureConfig(LatentPriorConfig):
    """A learned mixture of normal distributions with diagonal covariances."""

    kind: Literal["mixture"] = "mixture"
    """Kind of prior."""
    components: PositiveInt = 100
    """Number of components."""


AnyPriorConfig = StandardNormalConfig | MixtureConfig
PRIOR_CONFIGS: dict[str, type[LatentPriorConfig]] = by_kind(AnyPriorConfig)
PriorField = Annotated[
    SerializeAsAny[AnyPriorConfig],
    Field(discriminator="kind"),
    registered(AnyPriorConfig, PRIOR_CONFIGS),
]
