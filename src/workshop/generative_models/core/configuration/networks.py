"""Configurations of networks: encoders, decoders and the prior over a VQ-VAE's codes."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from workshop.generative_models.core.configuration.base import Config

Activation = Literal[
    "relu", "gelu", "silu", "swish", "elu", "selu", "leaky_relu", "tanh", "sigmoid", "softplus",
    "identity",
]  # fmt: skip
OutputActivation = Literal["sigmoid", "tanh", "identity"]
NetworkType = Literal["dense", "cnn", "resnet"]
DType = Literal["float32", "bfloat16", "float16"]
PrecisionName = Literal["default", "high", "highest"]
Shape = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class NetworkConfig(Config):
    """Base class of the configurations of encoders and decoders."""

    hidden_dims: Shape
    """Widths (dense) or channels (cnn, resnet) of the layers, in the order in which data flows."""
    latent_dim: PositiveInt
    """Size of the latent vector."""
    activation: Activation = "relu"
    """Activation between layers."""
    dtype: DType = "float32"
    """Type to compute in; parameters and losses stay float32."""
    precision: PrecisionName | None = None
    """Precision of matrix products; None is the backend's default."""


class EncoderConfig(NetworkConfig):
    """An encoder: `EncoderConfig(hidden_dims=(512, 256), latent_dim=20, input_shape=(784,))`."""

    input_shape: Shape | None = None
    """Shape of one example, such as 28 28 1; None takes it from the first batch."""
    pooling: Literal["flatten", "mean"] = "flatten"
    """What is kept of the last map of a convolutional encoder: every pixel, or their mean."""


class DecoderConfig(NetworkConfig):
    """A decoder: `DecoderConfig(hidden_dims=(256, 512), latent_dim=20, output_shape=(784,))`."""

    output_shape: Shape
    """Shape of one example, such as 28 28 1."""
    output_activation: OutputActivation = "sigmoid"
    """Activation that makes a mean of the decoder's output: identity for data outside [0, 1]."""


class ModelConfiguration(NetworkConfig):
    """Both networks in one flat description, for the unified factories."""

    input_shape: Shape
    """Shape of one example."""
    output_shape: Shape | None = None
    """Shape of one reconstruction; None is the input's."""
    decoder_hidden_dims: Shape | None = None
    """Layers of the decoder; None is `hidden_dims` reversed."""
    pooling: Literal["flatten", "mean"] = "flatten"
    """What is kept of the last map of a convolutional encoder."""
    output_activation: OutputActivation = "sigmoid"
    """Activation that makes a mean of the decoder's output."""

    def encoder(self) -> EncoderConfig:
        """Return the configuration of the encoder."""
        return EncoderConfig(
            **{field: getattr(self, field) for field in EncoderConfig.model_fields}
        )

    def decoder(self) -> DecoderConfig:
        """Return the configuration of the decoder."""
        fields = {field: getattr(self, field) for field in DecoderConfig.model_fields}
        fields["output_shape"] = self.output_shape or self.input_shape
        fields["hidden_dims"] = self.decoder_hidden_dims or self.hidden_dims[::-1]
        return DecoderConfig(**fields)


class PriorConfig(Config):
    """A prior over codes: a causal transformer (Vaswani et al. 2017)."""

    layers: PositiveInt = 4
    """Blocks of attention and a hidden layer of four times the width."""
    width: PositiveInt = 128
    """Size of the vectors."""
    heads: PositiveInt = 4
    """Number of attention heads."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout rate in training."""

    @model_validator(mode="after")
    def _heads_fit(self) -> "PriorConfig":
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} must divide width={self.width}")
        return self
