"""The base class of decoders, and what fits one to a likelihood."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.building import accepts_config
from workshop.generative_models.core.configuration import DecoderConfig
from workshop.generative_models.core.layers import activation_by_name
from workshop.generative_models.core.pickling import Picklable
from workshop.generative_models.core.typing import ArrayLike, DTypeLike, Precision

_OUTPUT_ACTIVATIONS = ("sigmoid", "tanh", "identity")


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
        latent_dim: size of z.
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
        checks.one_of("output_activation", output_activation, _OUTPUT_ACTIVATIONS)
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
        self._build_layers(rngs)
        self._build_output(rngs)

    @property
    def _numerics(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "precision": self.precision}

    def _build_layers(self, rngs: nnx.Rngs) -> None:
        """Make all layers but the last."""
        raise NotImplementedError

    def _build_output(self, rngs: nnx.Rngs) -> None:
        """Make the last layer, for `parameters_per_value` numbers a value."""
        raise NotImplementedError

    def with_parameters(self, parameters_per_value: int, rngs: nnx.Rngs) -> "Decoder":
        """Return a copy that gives so many numbers for each value, its last layer built anew."""
        decoder = nnx.clone(self)
        decoder.parameters_per_value = parameters_per_value
        decoder._build_output(rngs)
        return decoder

    def start_at(
        self, mean: np.ndarray, output_of: Callable[[np.ndarray], np.ndarray | None]
    ) -> None:
        """Set the last layer's bias, unless it is set, to the outputs of the data's mean.

        A convolution, which has one bias for all pixels, takes the mean of each channel. Where
        `output_of` returns None, the bias stays.
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
        """Return the unsquashed output, (batch, *output_shape), or output_shape of one example.

        Several parameters for each value are a further axis, parameters_per_value.

        Args:
            z: (batch, latent_dim), or one example's; maps (batch, H', W', latent_dim) when spatial.
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


def fit_parameters(decoder: Any, parameters_per_value: int, rngs: nnx.Rngs | None) -> nnx.Module:
    """Return a decoder that gives so many numbers a value; one of your own stays as it is."""
    if getattr(decoder, "parameters_per_value", None) in (None, parameters_per_value):
        return decoder
    if rngs is None:
        raise ValueError(
            f"the likelihood reads {parameters_per_value} numbers for each value and the decoder "
            f"gives {decoder.parameters_per_value}, but rngs=None: pass rngs for a new last layer"
        )
    return decoder.with_parameters(parameters_per_value, rngs)
