"""Configurations of objectives.

A new objective of this package is added to the union.
"""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)

from workshop.generative_models.core.configuration.base import Config, by_kind, registered

KLScheduleName = Literal["constant", "linear", "sigmoid", "cyclical"]


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
