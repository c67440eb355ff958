"""Configurations of the prior, the posterior, the objective and the likelihood.

A new component of this package is added to the union of its kind.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.base import Config, by_kind, registered

KLScheduleName = Literal["constant", "linear", "sigmoid", "cyclical"]


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


def check_schedule(name: str, schedule: str, steps: int) -> None:
    """Refuse a schedule without steps, or steps without a schedule."""
    if (schedule != "constant") != (steps > 0):
        raise ValueError(f"{name}={schedule!r} with {name}_steps={steps}: set both, or neither")


class ObjectiveConfig(Config):
    """Base class of the configurations of objectives."""


class ELBOConfig(ObjectiveConfig):
    """The evidence lower bound, with a weight of the KL that may rise (Bowman et al. 2016)."""

    kind: Literal["elbo"] = "elbo"
    """Kind of objective."""
    weight: NonNegativeFloat = 1.0
    """Weight of the KL divergence."""
    schedule: KLScheduleName = "constant"
    """How the weight rises from 0."""
    schedule_steps: NonNegativeInt = 0
    """Training steps in which it rises."""
    free_bits: NonNegativeFloat = 0.0
    """Nats that each latent may use before its KL is penalised (Kingma et al. 2016)."""

    @model_validator(mode="after")
    def _schedule_is_whole(self) -> "ELBOConfig":
        check_schedule("schedule", self.schedule, self.schedule_steps)
        return self


class CapacityConfig(ObjectiveConfig):
    """The distance of the KL from a capacity that grows (Burgess et al. 2018)."""

    kind: Literal["capacity"] = "capacity"
    """Kind of objective."""
    capacity_max: NonNegativeFloat = 25.0
    """The final capacity, in nats."""
    capacity_num_iter: PositiveInt = 25000
    """Training steps until the final capacity is reached."""
    gamma: NonNegativeFloat = 1000.0
    """Weight of the distance of the KL from the capacity."""


class ReconstructionConfig(ObjectiveConfig):
    """The reconstruction loss alone, as of an autoencoder."""

    kind: Literal["reconstruction"] = "reconstruction"
    """Kind of objective."""


AnyObjectiveConfig = ELBOConfig | CapacityConfig | ReconstructionConfig
OBJECTIVE_CONFIGS: dict[str, type[ObjectiveConfig]] = by_kind(AnyObjectiveConfig)
ObjectiveField = Annotated[
    SerializeAsAny[AnyObjectiveConfig],
    Field(discriminator="kind"),
    registered(AnyObjectiveConfig, OBJECTIVE_CONFIGS),
]

LikelihoodName = Literal[
    "mse", "bce", "bernoulli", "gaussian", "laplace", "continuous_bernoulli",
    "discretized_logistic", "categorical",
]  # fmt: skip
SCALED = ("gaussian", "laplace", "discretized_logistic")
"""Likelihoods with a scale."""
LOGITS = ("bce", "bernoulli", "continuous_bernoulli", "categorical")
"""Likelihoods that read the decoder's output as logits, without its activation."""
DISCRETE = ("discretized_logistic", "categorical")
"""Likelihoods of data with a few levels."""
STANDARDIZED = ("gaussian", "laplace")
"""Likelihoods that can work in standard deviations of the training data."""
Scale = PositiveFloat | Literal["learned", "per_feature", "optimal"]
Levels = Annotated[int, Field(ge=2, le=65536)]


def in_any_units(name: str) -> dict[str, Any]:
    """Return the options of a likelihood that learns its scale from data in any units."""
    if name in STANDARDIZED:
        return {"scale": "per_feature", "standardize": True}
    return {"scale": "learned"} if name in SCALED else {}


def check_likelihood(name: str, scale: Scale, levels: int, *, standardize: bool = False) -> None:
    """Refuse a scale, levels or standardisation that a likelihood does not have."""
    if checks.flag("standardize", standardize) and name not in STANDARDIZED:
        raise ValueError(
            f"standardize=True has no meaning for the likelihood {name!r}: use 'gaussian' or "
            "'laplace', whose density is known in any units"
        )
    if scale != 1.0 and name not in SCALED:
        raise ValueError(f"scale={scale!r} has no meaning for the likelihood {name!r}")
    if scale == "optimal" and name == "discretized_logistic":
        raise ValueError(
            f"scale='optimal' has no closed form for the likelihood {name!r}: use 'learned', or "
            "a number"
        )
    if scale == "per_feature" and name not in STANDARDIZED:
        raise ValueError(
            f"scale='per_feature' has no meaning for the likelihood {name!r}: use 'learned', or a "
            "number"
        )
    if levels != 256 and name not in DISCRETE:
        raise ValueError(f"levels={levels!r} has no meaning for the likelihood {name!r}")
    if not 2 <= checks.positive_int("levels", levels) <= 65536:
        raise ValueError(f"levels={levels}: expected 2 <= levels <= 65536 (16 bits)")
