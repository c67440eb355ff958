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


def check_groups(samples: int, groups: int) -> None:
    """Refuse groups of different sizes."""
    if samples % groups:
        raise ValueError(
            f"samples={samples} with groups={groups}: expected groups of the same size, so that "
            "samples is a multiple of groups"
        )


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


class IWAEConfig(ObjectiveConfig):
    """The importance-weighted bound of several samples (Burda et al. 2016)."""

    kind: Literal["iwae"] = "iwae"
    """Kind of objective."""
    samples: PositiveInt = 50
    """Samples of z for each example, all of which are decoded."""


class MIWAEConfig(ObjectiveConfig):
    """The mean of the importance-weighted bounds of groups of samples (Rainforth et al. 2018)."""

    kind: Literal["miwae"] = "miwae"
    """Kind of objective."""
    samples: PositiveInt = 64
    """Samples of z for each example, in all groups together; all of them are decoded."""
    groups: PositiveInt = 8
    """Number of groups; one is IWAE, and as many as samples the ELBO."""

    @model_validator(mode="after")
    def _groups_are_equal(self) -> "MIWAEConfig":
        check_groups(self.samples, self.groups)
        return self


class PIWAEConfig(ObjectiveConfig):
    """IWAE's bound for the decoder and that of MIWAE for the encoder (Rainforth et al. 2018)."""

    kind: Literal["piwae"] = "piwae"
    """Kind of objective."""
    samples: PositiveInt = 64
    """Samples of z for each example, in all groups together; all of them are decoded."""
    groups: PositiveInt = 8
    """Number of groups for the encoder; as many as samples train it by the ELBO."""

    @model_validator(mode="after")
    def _groups_are_equal(self) -> "PIWAEConfig":
        check_groups(self.samples, self.groups)
        return self


class CIWAEConfig(ObjectiveConfig):
    """A convex combination of the ELBO and the bound of IWAE (Rainforth et al. 2018)."""

    kind: Literal["ciwae"] = "ciwae"
    """Kind of objective."""
    samples: PositiveInt = 64
    """Samples of z for each example, all of which are decoded."""
    beta: float = Field(default=0.5, ge=0, le=1)
    """Share of the ELBO, from 0, which is IWAE, to 1."""


class DReGConfig(ObjectiveConfig):
    """IWAE's bound with a doubly reparameterised gradient of the encoder (Tucker et al. 2019)."""

    kind: Literal["dreg"] = "dreg"
    """Kind of objective."""
    samples: PositiveInt = 64
    """Samples of z for each example, all of which are decoded."""


class StickingTheLandingConfig(ObjectiveConfig):
    """The ELBO, or IWAE's bound, without the score of q(z|x) (Roeder et al. 2017)."""

    kind: Literal["sticking_the_landing"] = "sticking_the_landing"
    """Kind of objective."""
    samples: PositiveInt = 1
    """Samples of z for each example, all of which are decoded; one is the ELBO."""


class RenyiConfig(ObjectiveConfig):
    """The variational Rényi bound (Li & Turner 2016)."""

    kind: Literal["renyi"] = "renyi"
    """Kind of objective."""
    samples: PositiveInt = 5
    """Samples of z for each example, all of which are decoded."""
    alpha: float = 0.5
    """Order of the divergence: 0 is IWAE, 1 the ELBO; at -1000 the largest weight alone counts."""


AnyObjectiveConfig = (
    ELBOConfig
    | CapacityConfig
    | ReconstructionConfig
    | IWAEConfig
    | MIWAEConfig
    | PIWAEConfig
    | CIWAEConfig
    | DReGConfig
    | StickingTheLandingConfig
    | RenyiConfig
)
OBJECTIVE_CONFIGS: dict[str, type[ObjectiveConfig]] = by_kind(AnyObjectiveConfig)
ObjectiveField = Annotated[
    SerializeAsAny[AnyObjectiveConfig],
    Field(discriminator="kind"),
    registered(AnyObjectiveConfig, OBJECTIVE_CONFIGS),
]
