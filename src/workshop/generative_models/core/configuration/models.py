"""Configurations of the models, and the table of all of them."""

from collections.abc import Mapping
from math import prod
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from workshop.generative_models.core.configuration.base import Config
from workshop.generative_models.core.configuration.likelihoods import (
    LOGITS,
    Levels,
    LikelihoodName,
    Scale,
    check_likelihood,
)
from workshop.generative_models.core.configuration.networks import (
    DecoderConfig,
    EncoderConfig,
    NetworkType,
)
from workshop.generative_models.core.configuration.objectives import (
    OBJECTIVE_CONFIGS,
    KLScheduleName,
    ObjectiveField,
    check_schedule,
)
from workshop.generative_models.core.configuration.posteriors import (
    POSTERIOR_CONFIGS,
    PosteriorField,
)
from workshop.generative_models.core.configuration.priors import PRIOR_CONFIGS, PriorField
from workshop.generative_models.core.configuration.quantizers import (
    QUANTIZER_CONFIGS,
    STAGE_CONFIGS,
    AnyQuantizerConfig,
)

ConditionType = Literal["concat", "add"]


class AutoencoderConfig(Config):
    """Base class of the configurations of models."""

    encoder: EncoderConfig
    """The encoder."""
    decoder: DecoderConfig
    """The decoder."""
    encoder_type: NetworkType = "dense"
    """Kind of both networks: fully connected, convolutional, or residual convolutional."""
    scale: Scale = 1.0
    """Scale of a gaussian, laplace or discretized_logistic likelihood: a number, learned, or, but
    for the last, learned per_feature, or optimal for each batch."""
    standardize: bool = False
    """Encode and decode in standard deviations of each feature of the training data, under gaussian
    or laplace; everything else, the density included, stays in the data's own units."""
    levels: Levels = 256
    """How many values a feature can have, under discretized_logistic and categorical: 256 of
    bytes, 2 of binarised data. They are k / (levels - 1)."""
    free_bits: NonNegativeFloat = 0.0
    """Nats that each latent may use before its KL is penalised (Kingma et al. 2016)."""
    kl_schedule: KLScheduleName = "constant"
    """How the weight of the KL rises from 0."""
    kl_schedule_steps: NonNegativeInt = 0
    """Training steps in which it rises."""

    @property
    def likelihood_name(self) -> str:
        """The likelihood that the model trains with."""
        return getattr(self, "likelihood", None) or self.reconstruction_loss_type  # type: ignore

    @model_validator(mode="after")
    def _parts_agree(self) -> "AutoencoderConfig":
        encoder, decoder = self.encoder, self.decoder
        if encoder.latent_dim != decoder.latent_dim:
            raise ValueError(
                f"encoder.latent_dim={encoder.latent_dim} and decoder.latent_dim="
                f"{decoder.latent_dim} must agree"
            )
        if encoder.input_shape and prod(encoder.input_shape) != prod(decoder.output_shape):
            raise ValueError(
                f"encoder.input_shape={encoder.input_shape} and decoder.output_shape="
                f"{decoder.output_shape} must hold the same number of values"
            )
        if self.encoder_type != "dense":
            for field, sizes in (("encoder.input_shape", encoder.input_shape),
                                 ("decoder.output_shape", decoder.output_shape)):  # fmt: skip
                if sizes is not None and len(sizes) != 3:
                    raise ValueError(
                        f"{field}={sizes}: encoder_type={self.encoder_type!r} expects "
                        "(height, width, channels)"
                    )
            if encoder.input_shape not in (None, decoder.output_shape):
                raise ValueError(
                    f"encoder.input_shape={encoder.input_shape} and decoder.output_shape="
                    f"{decoder.output_shape} must be equal for encoder_type={self.encoder_type!r}"
                )
        elif encoder.pooling != "flatten":
            raise ValueError("encoder.pooling='mean' needs encoder_type 'cnn' or 'resnet'")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> "AutoencoderConfig":
        check_schedule("kl_schedule", self.kl_schedule, self.kl_schedule_steps)
        name = self.likelihood_name
        check_likelihood(name, self.scale, self.levels, standardize=self.standardize)
        if self.standardize and self.decoder.output_activation != "identity":
            raise ValueError(
                f"standardize=True with decoder.output_activation="
                f"{self.decoder.output_activation!r}: standardised data has no bounds, so it must "
                "be 'identity'; or leave standardize out"
            )
        if name in LOGITS and self.decoder.output_activation != "sigmoid":
            raise ValueError(
                f"decoder.output_activation={self.decoder.output_activation!r}: the likelihood "
                f"{name!r} reads logits, so it must stay 'sigmoid'"
            )
        return self


class _LatentVectorConfig(AutoencoderConfig):
    """What the configurations of models with latent vectors share."""

    prior: PriorField | None = None
    """p(z); None is the standard normal distribution, or the usual one of the posterior's space."""
    posterior: PosteriorField | None = None
    """q(z|x); None is a diagonal normal distribution."""


class VAEConfig(_LatentVectorConfig):
    """A variational autoencoder (Kingma & Welling 2014)."""

    objective: ObjectiveField | None = None
    """What training minimises; None is the ELBO, with kl_weight, free_bits and kl_schedule."""
    kl_weight: NonNegativeFloat = 1.0
    """Weight of the KL divergence."""
    likelihood: LikelihoodName = "mse"
    """log p(x|z): mse is the plain sum of squares, bce reads the decoder's output as logits."""


class BetaVAEConfig(_LatentVectorConfig):
    """A β-VAE (Higgins et al. 2017)."""

    beta_default: NonNegativeFloat = 1.0
    """Weight of the KL divergence once warmed up."""
    beta_warmup_steps: NonNegativeInt = 0
    """Steps in which β rises linearly from 0; 0 is no warm-up."""
    reconstruction_loss_type: LikelihoodName = "mse"
    """log p(x|z): mse, bce, or another likelihood by name."""

    @model_validator(mode="after")
    def _one_warm_up(self) -> "BetaVAEConfig":
        if self.beta_warmup_steps and self.kl_schedule_steps:
            raise ValueError("beta_warmup_steps is a linear kl_schedule: set one of the two")
        return self


class BetaVAEWithCapacityConfig(BetaVAEConfig):
    """A β-VAE with a capacity that grows (Burgess et al. 2018)."""

    use_capacity_control: bool = False
    """Penalise the distance of the KL from the capacity C(t) instead of the KL."""
    capacity_max: NonNegativeFloat = 25.0
    """The final capacity, in nats."""
    capacity_num_iter: PositiveInt = 25000
    """Training steps until the final capacity is reached."""
    gamma: NonNegativeFloat = 1000.0
    """Weight of the distance of the KL from the capacity."""

    @model_validator(mode="after")
    def _one_control(self) -> "BetaVAEWithCapacityConfig":
        for field in ("free_bits", "kl_schedule_steps"):
            if self.use_capacity_control and getattr(self, field):
                raise ValueError(f"{field} has no meaning under use_capacity_control")
        return self


class ConditionalVAEConfig(VAEConfig):
    """A class-conditional VAE (Sohn et al. 2015)."""

    condition_dim: PositiveInt = 10
    """Number of classes."""
    condition_type: ConditionType = "concat"
    """How the networks read the class: concatenated with their input, or added to it."""
    embed_dim: PositiveInt | None = None
    """Size of a learned embedding of the class; None passes it one-hot."""


class VQVAEConfig(AutoencoderConfig):
    """A VQ-VAE (van den Oord et al. 2017)."""

    num_embeddings: PositiveInt = 512
    """Number of codes in the codebook."""
    embedding_dim: PositiveInt = 64
    """Size of a code; with a quantizer, size of the vectors that it reads."""
    commitment_cost: NonNegativeFloat = 0.25
    """Weight of the commitment loss."""
    likelihood: LikelihoodName = "mse"
    """log p(x|z)."""
    quantizer: AnyQuantizerConfig | None = Field(default=None, discriminator="kind")
    """How vectors become codes; None is a codebook that the loss trains."""

    @model_validator(mode="after")
    def _codes_fit(self) -> "VQVAEConfig":
        for field in ("free_bits", "kl_schedule_steps"):
            if getattr(self, field):
                raise ValueError(f"{field} has no meaning for a VQ-VAE: its KL is constant")
        if self.encoder.pooling != "flatten":
            raise ValueError("encoder.pooling='mean' has no meaning for a VQ-VAE: it keeps its map")
        if self.encoder_type == "dense" and self.encoder.latent_dim % self.embedding_dim:
            raise ValueError(
                f"encoder.latent_dim={self.encoder.latent_dim} must be a multiple of "
                f"embedding_dim={self.embedding_dim}: dense latents are split into codes"
            )
        if self.quantizer is not None:
            self.quantizer.check(self)
        return self


MODEL_CONFIGS: dict[str, type[AutoencoderConfig]] = {
    "vae": VAEConfig,
    "beta-vae": BetaVAEConfig,
    "beta-vae-capacity": BetaVAEWithCapacityConfig,
    "conditional-vae": ConditionalVAEConfig,
    "vq-vae": VQVAEConfig,
}
"""The models by the names that the command line and a saved run use."""
COMPONENT_CONFIGS: dict[str, Mapping[str, type[Config]]] = {
    "prior": PRIOR_CONFIGS,
    "posterior": POSTERIOR_CONFIGS,
    "objective": OBJECTIVE_CONFIGS,
    "quantizer": QUANTIZER_CONFIGS,
    "stage": STAGE_CONFIGS,
}
"""The components by kind, for each field that holds one."""
