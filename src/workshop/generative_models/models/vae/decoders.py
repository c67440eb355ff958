"""Decoders: latents to the parameters of p(x|z), not yet squashed."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.building import accepts_config
from workshop.generative_models.core.configuration import (
    DecoderConfig,
    ModelConfiguration,
    NetworkType,
)
from workshop.generative_models.core.layers import (
    CNN,
    MLP,
    Conv,
    ResNet,
    activation_by_name,
    halvings,
)
from workshop.generative_models.core.modules import call
from workshop.generative_models.core.pickling import Picklable
from workshop.generative_models.core.typing import ArrayLike, DTypeLike, Precision
from workshop.generative_models.models.vae.conditioning import Condition

OUTPUT_ACTIVATIONS = ("sigmoid", "tanh", "identity")


class Decoder(Picklable, nnx.Module):
    """What every decoder shares: shapes, and an output of exactly `output_dim`.

    Calling a decoder gives its output before `activation`: the logits of a Bernoulli likelihood.
    `VAE.decode` applies the activation.

    Args:
        hidden_dims: widths or channels of the layers, in the order in which data flows.
        output_dim: shape of one example.
        latent_dim: size of z.
        activation: activation between layers, by name.
        rngs: for the initial weights.
        output_activation: "sigmoid" for data in [0, 1], "tanh", or "identity" for any other.
        dtype: type to compute in; parameters stay float32.
        precision: precision of matrix products.

    Attributes:
        output_shape: shape of one example.
        activation: the function that makes a mean of the output.
        parameters_per_value: how many numbers it gives for each value of an example; several have
            an axis of their own, the last. `with_parameters` sets it.
    """

    config_class = DecoderConfig
    parameters_per_value = 1
    takes_maps = False
    spatial = False

    @accepts_config
    def __init__(
        self,
        hidden_dims: Sequence[int],
        output_dim: Sequence[int] | int,
        latent_dim: int,
        activation: str = "relu",
        *,
        rngs: nnx.Rngs | None = None,
        output_activation: str = "sigmoid",
        dtype: DTypeLike | None = None,
        precision: Precision = None,
    ):
        if rngs is None:
            raise ValueError(f"{type(self).__name__}(rngs=None): pass rngs for the initial weights")
        self.config: DecoderConfig | None = None
        self.hidden_dims = checks.shape("hidden_dims", hidden_dims)
        make_shape = checks.image_shape if self.takes_maps else checks.shape
        self.output_shape = make_shape("output_dim", output_dim)
        self.output_size = prod(self.output_shape)
        self.hidden_activation = activation
        checks.one_of("output_activation", output_activation, OUTPUT_ACTIVATIONS)
        self.output_activation = activation_by_name(output_activation)
        self.dtype, self.precision = dtype, precision
        self.build(latent_dim, rngs)

    @property
    def activation(self) -> Any:
        """The function that makes a mean of the output."""
        return self.output_activation

    def build(self, latent_dim: int, rngs: nnx.Rngs) -> None:
        """Make the layers, anew if there were any, for latents of size `latent_dim`."""
        self.latent_dim = checks.positive_int("latent_dim", latent_dim)
        self._build_layers(rngs, {"dtype": self.dtype, "precision": self.precision})

    def _build_layers(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        raise NotImplementedError

    def _build_output(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        """Make the last layer, for `parameters_per_value` numbers a value."""
        raise NotImplementedError

    def with_parameters(self, parameters_per_value: int, rngs: nnx.Rngs) -> "Decoder":
        """Return a copy that gives so many numbers for each value, its last layer built anew."""
        decoder = nnx.clone(self)
        decoder.parameters_per_value = parameters_per_value
        decoder._build_output(rngs, {"dtype": self.dtype, "precision": self.precision})
        return decoder

    def start_at(
        self, mean: np.ndarray, output_of: Callable[[np.ndarray], np.ndarray | None]
    ) -> None:
        """Set the last layer's bias so that outputs begin at those of a mean, unless it is set.

        Args:
            mean: of the data, in the shape of one example; a convolution, which has one bias for
                all pixels, takes the mean of each channel.
            output_of: returns the outputs that stand for means, or None to leave the bias.
        """
        bias = self._output_bias()
        if bias is None or np.any(bias[...]):
            return
        # In the order of a dense layer's outputs, which are flat.
        features = bias.size // self.parameters_per_value
        start = output_of(np.asarray(mean, np.float64).reshape(-1, features).mean(0))
        if start is not None:
            bias[...] = jnp.asarray(start, bias.dtype).reshape(bias.shape)

    def _output_bias(self) -> nnx.Param | None:
        """Return the last layer's bias."""
        raise NotImplementedError

    def _decode(self, z: jax.Array) -> jax.Array:
        """Map (batch, latent_dim) to as many numbers as make an output, not squashed."""
        raise NotImplementedError

    def __call__(
        self,
        z: ArrayLike,
        *,
        rngs: nnx.Rngs | None = None,  # noqa: ARG002 - the reference's signature; nothing is random
    ) -> jax.Array:
        """Return the unsquashed output (batch, *output_shape), or of one example.

        With several parameters a value it is (batch, *output_shape, parameters_per_value).

        Args:
            z: (batch, latent_dim), or (latent_dim,); maps (batch, H', W', latent_dim) when spatial.
            rngs: unused, for decoders that are random.
        """
        z = jnp.asarray(z)
        expected = self.latent_shape
        single = z.shape == expected
        if not single and z.shape[1:] != expected:
            raise ValueError(
                f"{type(self).__name__}: z has shape {z.shape}, expected (batch, "
                f"{', '.join(map(str, expected))})"
            )
        output = self._decode(z[None] if single else z)
        several = () if self.parameters_per_value == 1 else (self.parameters_per_value,)
        output = output.reshape(output.shape[0], *self.output_shape, *several)
        return output[0] if single else output

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latents of one example."""
        return (self.latent_dim,)


class MLPDecoder(Decoder):
    """Fully-connected decoder.

    Attributes:
        latent_dim: size of z.
        output_shape: shape of one example.
        output_size: numbers in one example.
        backbone: the hidden layers.
        output_layer: the last layer.
        activation: the function that makes a mean of the output.

    Examples:
        >>> decoder = MLPDecoder([128, 256, 512], (784,), 32, "relu", rngs=nnx.Rngs(0))
        >>> decoder(jnp.ones((8, 32))).shape
        (8, 784)
    """

    def _build_layers(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        self.backbone = MLP(
            self.hidden_dims, self.hidden_activation, self.latent_dim, rngs=rngs, **numerics
        )
        self._build_output(rngs, numerics)

    def _build_output(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        size = self.output_size * self.parameters_per_value
        self.output_layer = nnx.Linear(self.hidden_dims[-1], size, rngs=rngs, **numerics)

    def _output_bias(self) -> nnx.Param | None:
        return self.output_layer.bias

    def _decode(self, z: jax.Array) -> jax.Array:
        return self.output_layer(self.backbone(z))


class CNNDecoder(Decoder):
    """Transposed convolutions, each doubling the image: 1 to 3, 7, 14, 28.

    Attributes:
        latent_dim: size of z.
        output_shape: shape of one example.
        project: the layer from z to the first map.
        cnn: the transposed convolutions.
        output_conv: the last convolution.
        activation: the function that makes a mean of the output.
        initial_h: height of the first map, max(height // 2ⁿ, 1) for n layers.
        initial_w: width of the first map.
        initial_features: channels of the first map.

    Examples:
        >>> decoder = CNNDecoder([64, 32], (28, 28, 1), 16, "relu", rngs=nnx.Rngs(0))
        >>> decoder(jnp.ones((8, 16))).shape, (decoder.initial_h, decoder.initial_w)
        ((8, 28, 28, 1), (7, 7))
    """

    takes_maps = True
    network: type[CNN] = CNN

    def _build_layers(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        height, width, _ = self.output_shape
        stages = len(self.hidden_dims)
        sizes = tuple(zip(halvings(height, stages), halvings(width, stages), strict=True))
        self.sizes = sizes[-2::-1]
        self.initial_h, self.initial_w = sizes[-1]
        self.initial_features = self.hidden_dims[0]
        self._build_projection(rngs)
        self.cnn = self.network(
            self.hidden_dims,
            self.hidden_activation,
            self.initial_features,
            use_transpose=True,
            rngs=rngs,
            **numerics,
        )
        self._build_output(rngs, numerics)

    def _build_output(self, rngs: nnx.Rngs, numerics: dict[str, Any]) -> None:
        channels = self.output_shape[-1] * self.parameters_per_value
        self.output_conv = Conv(self.hidden_dims[-1], channels, (3, 3), rngs=rngs, **numerics)

    def _build_projection(self, rngs: nnx.Rngs) -> None:
        pixels = 1 if self.spatial else self.initial_h * self.initial_w
        self.project = nnx.Linear(
            self.latent_dim,
            pixels * self.initial_features,
            rngs=rngs,
            dtype=self.dtype,
            precision=self.precision,  # type: ignore[arg-type]
        )

    def as_map(self, channels: int, rngs: nnx.Rngs) -> "CNNDecoder":
        """Return a copy that reads maps (batch, initial_h, initial_w, channels)."""
        decoder = nnx.clone(self)
        decoder.spatial, decoder.latent_dim = True, channels
        decoder._build_projection(rngs)
        return decoder

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latents of one example: a vector, or a map when spatial."""
        if self.spatial:
            return (self.initial_h, self.initial_w, self.latent_dim)
        return (self.latent_dim,)

    def _output_bias(self) -> nnx.Param | None:
        return self.output_conv.bias

    def _decode(self, z: jax.Array) -> jax.Array:
        first = (z.shape[0], self.initial_h, self.initial_w, self.initial_features)
        return self.output_conv(self.cnn(self.project(z).reshape(first), self.sizes))


class ResNetDecoder(CNNDecoder):
    """Residual blocks with group normalisation, each doubling the image."""

    network = ResNet


class ConditionalDecoder(Picklable, nnx.Module):
    """Wrapper that adds a class to the latents that any decoder reads, by copying it with room.

    The copy's layers are built anew for the wider latents.

    Args:
        decoder: the decoder to wrap; `latent_dim` is the size of z, without the class.
        num_classes: number of classes.
        embed_dim: size of a learned embedding of the class; None passes it one-hot.
        rngs: for the initial weights.
        condition_type: "concat" (the standard CVAE) or "add", a learned shift of z.

    Attributes:
        decoder: the copy.
        num_classes: number of classes.

    References:
        Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional Generative
        Models, NeurIPS 2015.
    """

    def __init__(
        self,
        decoder: nnx.Module,
        num_classes: int,
        embed_dim: int | None = None,
        *,
        rngs: nnx.Rngs,
        condition_type: str = "concat",
    ):
        self.latent_dim: int | None = getattr(decoder, "latent_dim", None)
        latents = None if self.latent_dim is None else (self.latent_dim,)
        self.num_classes, self.embed_dim = num_classes, embed_dim
        self.condition_type = condition_type
        self.condition = Condition(
            num_classes, embed_dim, condition_type, latents, rngs=rngs, network=decoder
        )
        if isinstance(decoder, Decoder):
            decoder = nnx.clone(decoder)
            if self.condition.extra_features:
                decoder.build(decoder.latent_dim + self.condition.extra_features, rngs)
        for name in ("output_shape", "output_activation"):
            if hasattr(decoder, name):
                setattr(self, name, getattr(decoder, name))
        self.decoder = decoder

    @property
    def parameters_per_value(self) -> int | None:
        """How many numbers the decoder gives for each value; None if it does not say."""
        return getattr(self.decoder, "parameters_per_value", None)

    def with_parameters(self, parameters_per_value: int, rngs: nnx.Rngs) -> "ConditionalDecoder":
        """Return a copy whose decoder gives so many numbers for each value."""
        wrapper = nnx.clone(self)
        wrapper.decoder = self.decoder.with_parameters(parameters_per_value, rngs)  # type: ignore
        return wrapper

    def start_at(
        self, mean: np.ndarray, output_of: Callable[[np.ndarray], np.ndarray | None]
    ) -> None:
        """Do what the wrapped decoder's `start_at` does, if it has one."""
        if isinstance(self.decoder, Decoder):
            self.decoder.start_at(mean, output_of)

    def __call__(
        self, z: ArrayLike, condition: Any = None, *, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Return the unsquashed output (batch, *output_shape).

        Args:
            z: (batch, latent_dim), or (latent_dim,) of one example.
            condition: integer labels (batch,), one-hot rows (batch, num_classes), or None for no
                class (all zeros).
            rngs: passed on to the decoder.
        """
        z = jnp.asarray(z)
        single = z.ndim == 1
        z = z[None] if single else z
        if self.latent_dim not in (None, z.shape[-1]):
            raise ValueError(
                f"ConditionalDecoder: z has shape {z.shape}, expected (batch, {self.latent_dim})"
            )
        output = call(self.decoder, self.condition(z, condition), rngs=rngs)
        return output[0] if single else output


def fit_parameters(decoder: Any, parameters_per_value: int, rngs: nnx.Rngs | None) -> nnx.Module:
    """Return a decoder that gives as many numbers for each value as a likelihood reads.

    A decoder of one's own, and one that does so already, comes back as it is.

    Raises:
        ValueError: if its last layer must be built anew, and there are no rngs for it.
    """
    if getattr(decoder, "parameters_per_value", None) in (None, parameters_per_value):
        return decoder
    if rngs is None:
        raise ValueError(
            f"the likelihood reads {parameters_per_value} numbers for each value and the decoder "
            f"gives {decoder.parameters_per_value}, but rngs=None: pass rngs for a new last layer"
        )
    return decoder.with_parameters(parameters_per_value, rngs)


_DECODERS: dict[str, type[Decoder]] = {
    "dense": MLPDecoder,
    "cnn": CNNDecoder,
    "resnet": ResNetDecoder,
}


def create_decoder(
    config: DecoderConfig,
    decoder_type: NetworkType | str = "dense",
    *,
    conditional: bool = False,
    num_classes: int | None = None,
    embed_dim: int | None = None,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Build a decoder from its configuration.

    Args:
        config: the decoder's configuration.
        decoder_type: "dense", "cnn" or "resnet".
        conditional: wrap it in a `ConditionalDecoder`.
        num_classes: number of classes, needed when conditional.
        embed_dim: size of a learned embedding of the class, when conditional.
        rngs: for the initial weights.
    """
    network = _DECODERS[checks.one_of("decoder_type", decoder_type, _DECODERS)]
    decoder = network(config, rngs=rngs)
    if not conditional:
        checks.no_condition(num_classes, embed_dim)
        return decoder
    return ConditionalDecoder(decoder, num_classes, embed_dim, rngs=rngs)  # type: ignore[arg-type]


def create_decoder_unified(
    *,
    config: ModelConfiguration,
    decoder_type: str,
    conditional: bool = False,
    num_classes: int | None = None,
    embed_dim: int | None = None,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """Build the decoder of one flat model configuration; the arguments are `create_decoder`'s."""
    return create_decoder(
        config.decoder(),
        decoder_type,
        conditional=conditional,
        num_classes=num_classes,
        embed_dim=embed_dim,
        rngs=rngs,
    )
