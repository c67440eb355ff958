"""Configurations of objectives.

A new objective of this package is added to the union.
"""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)

from workshop.generative_models.core.configuration.base import Config, by_kind, registered

Shape = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
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


class _CriticConfig(ObjectiveConfig):
    """What the configurations of objectives with a critic share."""

    critic_learning_rate: PositiveFloat = 1e-4
    """Learning rate of the critic."""


class FactorConfig(_CriticConfig):
    """The ELBO with a penalty on the total correlation, by a critic (Kim & Mnih 2018)."""

    kind: Literal["factor"] = "factor"
    """Kind of objective."""
    gamma: NonNegativeFloat = 35.0
    """Weight of the total correlation."""
    hidden_dims: Shape = (1000,) * 6
    """Widths of the critic's layers."""


class AdversarialConfig(_CriticConfig):
    """A critic that tells latents from samples of the prior (Makhzani et al. 2015)."""

    kind: Literal["adversarial"] = "adversarial"
    """Kind of objective."""
    adversarial_weight: NonNegativeFloat = 10.0
    """Weight of the term by which the encoder misleads the critic."""
    hidden_dims: Shape = (1000, 1000)
    """Widths of the critic's layers."""
    critic_learning_rate: PositiveFloat = 5e-4
    """Learning rate of the critic."""


class VAEGANConfig(_CriticConfig):
    """A critic on data, whose features measure the reconstruction (Larsen et al. 2016)."""

    kind: Literal["vae_gan"] = "vae_gan"
    """Kind of objective."""
    feature_weight: NonNegativeFloat = 1e-2
    """Weight of the distance of features in the decoder's loss."""
    hidden_dims: Shape = (32, 128, 256, 256)
    """Channels of the critic's convolutions for images; widths of its layers for other data."""
    critic_learning_rate: PositiveFloat = 3e-4
    """Learning rate of the critic."""


DecoderRegularizer = Literal["l2", "gradient_penalty", "spectral"]


def check_regularizer_weight(regularizer: str, weight: float | None) -> None:
    """Refuse a weight of spectral normalisation, which is no term of the loss."""
    if regularizer == "spectral" and weight:
        raise ValueError(
            f"regularizer_weight={weight} with regularizer='spectral', which normalises the "
            "decoder's layers and adds no term to the loss: leave the weight out"
        )


class RegularizedConfig(ObjectiveConfig):
    """A deterministic autoencoder with a regularised decoder (Ghosh et al. 2020)."""

    kind: Literal["rae"] = "rae"
    """Kind of objective."""
    latent_weight: NonNegativeFloat = 1e-2
    """Weight of half the squared norm of the latents."""
    regularizer: DecoderRegularizer = "l2"
    """How the decoder is kept smooth: the squared norm of its parameters, that of its Jacobian, or
    layers divided by their largest singular value."""
    regularizer_weight: NonNegativeFloat | None = None
    """Weight of that norm; None is 1e-4."""

    @model_validator(mode="after")
    def _weight_has_a_meaning(self) -> "RegularizedConfig":
        check_regularizer_weight(self.regularizer, self.regularizer_weight)
        return self


class _ImageDistanceConfig(ObjectiveConfig):
    """What the configurations of objectives that compare images share."""

    distance_weight: NonNegativeFloat = 100.0
    """Weight of the distance beside a KL of weight 1."""
    likelihood_weight: NonNegativeFloat = 0.0
    """Weight of -log p(x|z) beside the distance."""


class MSSSIMConfig(_ImageDistanceConfig):
    """The structural similarity of images at several scales (Snell et al. 2017)."""

    kind: Literal["ms_ssim"] = "ms_ssim"
    """Kind of objective."""
    window: PositiveInt = 11
    """Side of the Gaussian window, in pixels, an odd number."""
    data_range: PositiveFloat = 1.0
    """Largest minus smallest value that a pixel can have."""

    @model_validator(mode="after")
    def _window_is_odd(self) -> "MSSSIMConfig":
        if self.window % 2 == 0:
            raise ValueError(f"window={self.window}: expected an odd number of pixels")
        return self


class PerceptualConfig(_ImageDistanceConfig):
    """The distance of a VGG network's features (Johnson et al. 2016)."""

    kind: Literal["perceptual"] = "perceptual"
    """Kind of objective."""
    path: str = ""
    """A safetensors file of the weights of a VGG network, under the names of torchvision."""
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("relu1_1", "relu2_1", "relu3_1")
    """The layers whose features are compared."""


AnyObjectiveConfig = (
    ELBOConfig
    | CapacityConfig
    | ReconstructionConfig
    | FactorConfig
    | AdversarialConfig
    | VAEGANConfig
    | RegularizedConfig
    | MSSSIMConfig
    | PerceptualConfig
)
OBJECTIVE_CONFIGS: dict[str, type[ObjectiveConfig]] = by_kind(AnyObjectiveConfig)
ObjectiveField = Annotated[
    SerializeAsAny[AnyObjectiveConfig],
    Field(discriminator="kind"),
    registered(AnyObjectiveConfig, OBJECTIVE_CONFIGS),
]
