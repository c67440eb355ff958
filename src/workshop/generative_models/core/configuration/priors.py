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


class VampConfig(LatentPriorConfig):
    """A mixture of q(z|u) of learned pseudo-inputs u (Tomczak & Welling 2018)."""

    kind: Literal["vamp"] = "vamp"
    """Kind of prior."""
    components: PositiveInt = 500
    """Number of pseudo-inputs."""
    start: Literal["random", "data"] = "random"
    """What pseudo-inputs begin as: random values, or training examples."""


class ResampledConfig(LatentPriorConfig):
    """N(0, I) after a learned rejection sampler, LARS (Bauer & Mnih 2019)."""

    kind: Literal["resampled"] = "resampled"
    """Kind of prior."""
    hidden_dims: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (100, 100)
    """Widths of the layers of the acceptance function."""
    truncation: int = Field(default=100, ge=2)
    """Number of the proposal that is accepted in any case."""
    samples: PositiveInt = 1024
    """Proposals of each training step that estimate the normaliser."""
    decay: float = Field(default=0.99, ge=0.0, lt=1.0)
    """Decay of the moving average of the normaliser."""


class ConditionalConfig(LatentPriorConfig):
    """A normal distribution of each class, p(z|y), of a conditional model (Sohn et al. 2015)."""

    kind: Literal["conditional"] = "conditional"
    """Kind of prior."""


AnyPriorConfig = (
    StandardNormalConfig | MixtureConfig | VampConfig | ResampledConfig | ConditionalConfig
)
PRIOR_CONFIGS: dict[str, type[LatentPriorConfig]] = by_kind(AnyPriorConfig)
PriorField = Annotated[
    SerializeAsAny[AnyPriorConfig],
    Field(discriminator="kind"),
    registered(AnyPriorConfig, PRIOR_CONFIGS),
]
