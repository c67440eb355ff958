"""Configurations of encoders and decoders."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

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
            input_shape=self.input_shape, pooling=self.pooling, **self._shared(self.hidden_dims)
        )

    def decoder(self) -> DecoderConfig:
        """Return the configuration of the decoder."""
        return DecoderConfig(
            output_shape=self.output_shape or self.input_shape,
            output_activation=self.output_activation,
            **self._shared(self.decoder_hidden_dims or self.hidden_dims[::-1]),
        )

    def _shared(self, hidden_dims: tuple[int, ...]) -> dict:
        shared = {field: getattr(self, field) for field in NetworkConfig.model_fields}
        return shared | {"hidden_dims": hidden_dims}
