"""Layers that encoders and decoders are stacked from. Images are NHWC, of any height and width."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.networks import Activation
from workshop.generative_models.core.convolution import (
    conv,
    conv_transpose,
    downsample_padding,
    downsampled,
)
from workshop.generative_models.core.likelihood_base import identity
from workshop.generative_models.core.typing import DTypeLike, Precision

_DOWN_KERNEL, _UP_KERNEL = 3, 4
"""Sides of the kernels that halve and that double. With 4, every pixel gets as many taps as its
neighbours, so that doubling leaves no checkerboard (Odena et al., Distill 2016)."""

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    name: identity if name == "identity" else getattr(jax.nn, name) for name in get_args(Activation)
}


def activation_by_name(name: str) -> Callable[[jax.Array], jax.Array]:
    """Return an activation function by its name, or list the names there are."""
    return ACTIVATIONS[checks.one_of("activation", name, ACTIVATIONS)]


def halvings(size: int, times: int) -> tuple[int, ...]:
    """Return a side's lengths through `times` halvings, itself first: (28, 14, 7, 3)."""
    sizes = [size]
    for _ in range(times):
        sizes.append(downsampled(sizes[-1]))
    return tuple(sizes)


class MLP(nnx.Module):
    """Linear layers of widths `hidden_dims` with an activation, by name, after each.

    `numerics` are the `dtype` and `precision` of every layer.
    """

    def __init__(
        self,
        hidden_dims: Sequence[int],
        activation: str,
        in_features: int,
        *,
        rngs: nnx.Rngs,
        **numerics: Any,
    ):
        self.layers = nnx.List(
            nnx.Linear(a, b, rngs=rngs, **numerics)
            for a, b in pairwise([in_features, *hidden_dims])
        )
        self.activation = activation_by_name(activation)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (..., in_features) to (..., hidden_dims[-1])."""
        for layer in self.layers:
            x = self.activation(layer(x))
        return x


class Conv(nnx.Conv):
    """A 2-D convolution whose weights are Flax's and whose arithmetic suits the backend.

    With stride 1 the size stays; with stride 2 it becomes max(size // 2, 1).
    """

    def __call__(self, inputs: jax.Array) -> jax.Array:  # type: ignore[override]
        """Map (batch, height, width, in_features) to (batch, height', width', out_features)."""
        x, kernel, bias = _promoted(self, inputs)
        stride = self.strides if isinstance(self.strides, int) else (self.strides or (1,))[0]
        rows, columns = (
            downsample_padding(size, side, stride)
            for size, side in zip(x.shape[1:3], kernel.shape[:2], strict=True)
        )
        y = conv(x, kernel, stride=stride, padding=(rows, columns), precision=self.precision)
        return y if bias is None else y + bias


def _promoted(layer: nnx.Conv, x: jax.Array) -> tuple:
    bias = None if layer.bias is None else layer.bias[...]
    return layer.promote_dtype((x, layer.kernel[...], bias), dtype=layer.dtype)


class ConvTranspose(nnx.Conv):
    """A transposed convolution with stride 2 to a given size: twice the input's, or one more."""

    def __call__(self, inputs: jax.Array, output_size: tuple[int, int]) -> jax.Array:  # type: ignore[override]
        """Map (batch, height, width, in_features) to (batch, *output_size, out_features)."""
        x, kernel, bias = _promoted(self, inputs)
        y = conv_transpose(x, kernel, output_size=output_size, stride=2, precision=self.precision)
        return y if bias is None else y + bias


def _resampling(
    in_features: int,
    features: int,
    activation: str,  # noqa: ARG001 - for stages that have activations inside
    up: bool,
    **options: Any,
) -> nnx.Module:
    if up:
        return ConvTranspose(in_features, features, (_UP_KERNEL, _UP_KERNEL), **options)
    return Conv(in_features, features, (_DOWN_KERNEL, _DOWN_KERNEL), strides=2, **options)


class CNN(nnx.Module):
    """Convolutions that halve the image at every layer, or double it with `use_transpose`.

    `hidden_dims` are the channels of the layers, an activation follows each, and `numerics` are the
    `dtype` and `precision` of every layer.
    """

    _stage: Callable[..., nnx.Module] = staticmethod(_resampling)
    """Builds one layer; the override point of deeper stages."""

    def __init__(
        self,
        hidden_dims: Sequence[int],
        activation: str,
        in_features: int,
        *,
        use_transpose: bool = False,
        rngs: nnx.Rngs,
        **numerics: Any,
    ):
        self.layers = nnx.List(
            self._stage(a, b, activation, use_transpose, rngs=rngs, **numerics)
            for a, b in zip([in_features, *hidden_dims[:-1]], hidden_dims, strict=True)
        )
        self.activation = activation_by_name(activation)

    def __call__(self, x: jax.Array, sizes: Sequence[tuple[int, int]] | None = None) -> jax.Array:
        """Run the layers; a doubling network is told the `sizes` that its layers shall give."""
        for i, layer in enumerate(self.layers):
            x = self.activation(layer(x) if sizes is None else layer(x, sizes[i]))
        return x


class ResidualBlock(nnx.Module):
    """Two normalised convolutions beside a normalised shortcut; the sum is not yet activated.

    y = N(C₂(a(N(C₁(x))))) + N(S(x)): C₁ halves or doubles, S is a 1×1 convolution of the image
    averaged over 2×2 pixels, or repeated to its new size.

    References:
        He et al., Deep Residual Learning, CVPR 2016; He et al., Bag of Tricks, CVPR 2019 (the
        averaged shortcut); Wu & He, Group Normalization, ECCV 2018.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        activation: str,
        up: bool,
        *,
        rngs: nnx.Rngs,
        dtype: DTypeLike | None = None,
        precision: Precision = None,
    ):
        numerics: dict[str, Any] = {"dtype": dtype, "precision": precision}
        self.up = up
        self.conv1 = _resampling(in_features, features, activation, up, rngs=rngs, **numerics)
        self.norm1 = group_norm(features, dtype, rngs)
        self.conv2 = Conv(features, features, (3, 3), rngs=rngs, **numerics)
        self.norm2 = group_norm(features, dtype, rngs)
        self.shortcut = nnx.Linear(in_features, features, rngs=rngs, **numerics)
        self.shortcut_norm = group_norm(features, dtype, rngs)
        self.activation = activation_by_name(activation)

    def __call__(self, x: jax.Array, output_size: tuple[int, int] | None = None) -> jax.Array:
        """Map (batch, height, width, in_features) to half the size, or to `output_size`."""
        if self.up:
            main = self.conv1(x, output_size)  # type: ignore[call-arg]
            resized = repeat_to(self.shortcut(x), main.shape[1:3])
        else:
            main = self.conv1(x)
            resized = self.shortcut(mean_of_pixels(x))
        main = self.norm2(self.conv2(self.activation(self.norm1(main))))
        return main + self.shortcut_norm(resized)


class ResNet(CNN):
    """A `CNN` whose layers are residual blocks."""

    _stage = ResidualBlock


def group_norm(features: int, dtype: DTypeLike | None, rngs: nnx.Rngs) -> nnx.GroupNorm:
    """Return a group normalisation with up to 8 groups of at least 4 channels.

    Smaller groups would leave nothing of a 1×1 map: a group of one value normalises to zero.
    """
    groups = max(g for g in range(1, 9) if g == 1 or (features % g == 0 and features // g >= 4))
    return nnx.GroupNorm(features, groups, dtype=dtype, rngs=rngs)


def mean_of_pixels(x: jax.Array) -> jax.Array:
    """Return the means of 2×2 pixels, an odd last row or column left out, a single one kept."""
    batch, height, width, channels = x.shape
    tall, wide = min(height, 2), min(width, 2)
    rows, columns = height // tall, width // wide
    cropped = x[:, : rows * tall, : columns * wide]
    return cropped.reshape(batch, rows, tall, columns, wide, channels).mean((2, 4))


def repeat_to(x: jax.Array, size: Sequence[int]) -> jax.Array:
    """Return the image doubled to `size` by repeating pixels, once more at an odd end."""
    for axis, out in zip((1, 2), size, strict=True):
        x = jnp.repeat(x, 2, axis)
        if out > x.shape[axis]:
            x = jnp.concatenate([x, jax.lax.slice_in_dim(x, -1, None, axis=axis)], axis)
        x = jax.lax.slice_in_dim(x, 0, out, axis=axis)
    return x
