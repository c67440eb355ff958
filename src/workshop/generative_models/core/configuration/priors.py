"""Configurations of the prior p(z)."""

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
"""The priors of this package by `kind`: a new one is added to this union."""
PRIOR_CONFIGS: dict[str, type[LatentPriorConfig]] = by_kind(AnyPriorConfig)
"""The priors by kind."""
PriorField = Annotated[
    SerializeAsAny[AnyPriorConfig],
    Field(discriminator="kind"),
    registered(AnyPriorConfig, PRIOR_CONFIGS),
]
"""The type of a field that holds one of them."""
