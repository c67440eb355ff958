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
AggregateSampling = Literal["mws", "mss"]
KernelName = Literal["imq", "rbf"]
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Scales that a kernel is summed over (Tolstikhin et al. 2018)."""
Scales = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]


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


class BetaTCConfig(ObjectiveConfig):
    """The KL in three parts, each with a weight of its own (Chen et al. 2018)."""

    kind: Literal["tc"] = "tc"
    """Kind of objective."""
    alpha: NonNegativeFloat = 1.0
    """Weight of the mutual information of x and z."""
    beta: NonNegativeFloat = 6.0
    """Weight of the total correlation of the latents."""
    gamma: NonNegativeFloat = 1.0
    """Weight of the dimension-wise KL."""
    sampling: AggregateSampling = "mws"
    """How q(z) is estimated from a batch: minibatch-weighted (mws) or minibatch-stratified (mss)
    sampling."""


class DIPIConfig(ObjectiveConfig):
    """The ELBO and a penalty on the covariance of the means of q(z|x) (Kumar et al. 2018)."""

    kind: Literal["dip_i"] = "dip_i"
    """Kind of objective."""
    lambda_od: NonNegativeFloat = 10.0
    """Weight of the covariances of the latents."""
    lambda_d: NonNegativeFloat = 100.0
    """Weight of the distance of their variances from 1."""


class DIPIIConfig(ObjectiveConfig):
    """The ELBO and a penalty on the covariance of the aggregate posterior (Kumar et al. 2018)."""

    kind: Literal["dip_ii"] = "dip_ii"
    """Kind of objective."""
    lambda_od: NonNegativeFloat = 10.0
    """Weight of the covariances of the latents."""
    lambda_d: NonNegativeFloat = 10.0
    """Weight of the distance of their variances from 1."""


class WAEMMDConfig(ObjectiveConfig):
    """The reconstruction loss and the MMD of q(z) from the prior (Tolstikhin et al. 2018)."""

    kind: Literal["wae_mmd"] = "wae_mmd"
    """Kind of objective."""
    weight: NonNegativeFloat = 10.0
    """Weight of the MMD."""
    kernel: KernelName = "imq"
    """Kernel of the MMD: inverse multiquadratic (imq) or Gaussian (rbf)."""
    bandwidth: PositiveFloat = 1.0
    """Bandwidth of the kernel; 1 is the scale of a standard normal prior."""
    scales: Scales = SCALES
    """Scales that the kernel is summed over."""


class InfoVAEConfig(ObjectiveConfig):
    """The ELBO with a MMD of q(z) from the prior in place of some of the KL (Zhao et al. 2019)."""

    kind: Literal["info_vae_mmd"] = "info_vae_mmd"
    """Kind of objective."""
    alpha: float = Field(default=1.0, le=1.0)
    """How much of the KL is left out: 1 is all of it."""
    weight: NonNegativeFloat = 100.0
    """Weight λ of the divergence; the MMD has the weight alpha + λ - 1."""
    kernel: KernelName = "imq"
    """Kernel of the MMD: inverse multiquadratic (imq) or Gaussian (rbf)."""
    bandwidth: PositiveFloat = 1.0
    """Bandwidth of the kernel; 1 is the scale of a standard normal prior."""
    scales: Scales = SCALES
    """Scales that the kernel is summed over."""

    @model_validator(mode="after")
    def _mmd_is_penalised(self) -> "InfoVAEConfig":
        if self.alpha + self.weight < 1:
            raise ValueError(
                f"alpha={self.alpha} and weight={self.weight}: expected alpha + weight >= 1, or "
                "else the MMD would be rewarded"
            )
        return self


class ControlVAEConfig(ObjectiveConfig):
    """The ELBO with a weight of the KL that a controller sets (Shao et al. 2020)."""

    kind: Literal["control"] = "control"
    """Kind of objective."""
    target: NonNegativeFloat = 10.0
    """The KL that the controller aims at, in nats."""
    kp: NonNegativeFloat = 0.01
    """Gain of the proportional term."""
    ki: NonNegativeFloat = 0.0001
    """Gain of the integral term, per training step and nat."""
    beta_min: NonNegativeFloat = 0.0
    """The least weight of the KL."""
    beta_max: NonNegativeFloat = 1.0
    """The largest weight of the KL."""

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> "ControlVAEConfig":
        if self.beta_max < self.beta_min:
            raise ValueError(
                f"beta_max={self.beta_max}: expected at least beta_min={self.beta_min}"
            )
        return self


class MuForcingConfig(ObjectiveConfig):
    """The ELBO and a least variance of the means of q(z|x) (Liu et al. 2019)."""

    kind: Literal["mu_forcing"] = "mu_forcing"
    """Kind of objective."""
    margin: NonNegativeFloat = 3.0
    """The least half variance of the means, summed over latents, in nats."""
    strength: NonNegativeFloat = 2.0
    """Weight of what is missing to the margin; above 1 it is stronger than the KL."""


class _CriticConfig(ObjectiveConfig):
    """What the configurations of objectives with a critic share."""

    critic_learning_rate: PositiveFloat = 1e-4
    """Learning rate of the critic."""


class FactorConfig(_CriticConfig):
    """The ELBO with a penalty on the total correlation, by a critic (Kim & Mnih 2018)."""

    kind: Literal["factor"] = "factor"
    """Kind of objective."""
    gamma: NonNegativeFloat = 10.0
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
    feature_weight: NonNegativeFloat = 10.0
    """Weight of the distance of features in the decoder's loss."""
    hidden_dims: Shape = (16, 32, 64)
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


class IWAEConfig(ObjectiveConfig):
    """The importance-weighted bound of several samples (Burda et al. 2016)."""

    kind: Literal["iwae"] = "iwae"
    """Kind of objective."""
    samples: PositiveInt = 50
    """Samples of z for each example, all of which are decoded."""


class _GroupsConfig(ObjectiveConfig):
    """Fields shared by objectives that split their samples into groups."""

    samples: PositiveInt = 64
    """Samples of z for each example, in all groups together; all of them are decoded."""
    groups: PositiveInt = 8
    """Number of groups."""

    @model_validator(mode="after")
    def _groups_are_equal(self) -> "_GroupsConfig":
        check_groups(self.samples, self.groups)
        return self


class MIWAEConfig(_GroupsConfig):
    """The mean of the importance-weighted bounds of groups of samples (Rainforth et al. 2018)."""

    kind: Literal["miwae"] = "miwae"
    """Kind of objective."""
    groups: PositiveInt = 8
    """Number of groups: 1 gives the bound of IWAE, `samples` gives the ELBO."""


class PIWAEConfig(_GroupsConfig):
    """IWAE's bound for the decoder and that of MIWAE for the encoder (Rainforth et al. 2018)."""

    kind: Literal["piwae"] = "piwae"
    """Kind of objective."""
    groups: PositiveInt = 8
    """Number of groups in the encoder's bound; `samples` trains the encoder on the ELBO."""


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
    | BetaTCConfig
    | DIPIConfig
    | DIPIIConfig
    | WAEMMDConfig
    | InfoVAEConfig
    | ControlVAEConfig
    | MuForcingConfig
    | FactorConfig
    | AdversarialConfig
    | VAEGANConfig
    | RegularizedConfig
    | MSSSIMConfig
    | PerceptualConfig
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
