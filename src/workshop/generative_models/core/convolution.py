"""Convolutions that resample, with derivatives that are fast on every backend.

The encoder halves sizes by floor, ``downsampled(size)``, because the decoder's first map is
``max(size // 2**n, 1)``: so the encoder's last map and the decoder's first one have equal sizes.
"""

from functools import partial

import jax
from jax import Array, lax
from jaxtyping import Float

from workshop.generative_models.core import convolution_forms as forms
from workshop.generative_models.core.convolution_forms import ConvPlan, Pair, size_of


def downsampled(size: int) -> int:
    """Size in pixels after one stride-2 stage, `max(size // 2, 1)`."""
    return max(size // 2, 1)


def downsample_padding(size: int, kernel: int, stride: int = 2) -> Pair:
    """Padding with which a strided convolution gives exactly `max(size // stride, 1)` outputs.

    Zeros to add before and after, as evenly as possible, the odd one after. A kernel shorter than
    the stride may fit once too often: then pixels to crop after, as a negative number.

    Examples:
        >>> downsample_padding(28, kernel=3), downsample_padding(7, kernel=1)
        ((0, 1), (0, -1))
    """
    total = (max(size // stride, 1) - 1) * stride + kernel - size
    if total <= -stride:
        return 0, total + stride - 1
    return max(total, 0) // 2, (max(total, 0) + 1) // 2


# Under jit, so that a model called outside of it compiles a convolution once for each shape.
@partial(jax.jit, static_argnames=("stride", "padding", "precision"), inline=True)
def conv(
    x: Float[Array, "batch height width in_channels"],
    kernel: Float[Array, "kh kw in_channels out_channels"],
    *,
    stride: int = 1,
    padding: tuple[Pair, Pair],
    precision: lax.PrecisionLike = None,
) -> Float[Array, "batch out_height out_width out_channels"]:
    """Cross-correlation, `y[i, j] = sum_ab x[stride i + a - top, stride j + b - left] k[a, b]`.

    Zeros around the image are padding ((top, bottom), (left, right)); negative numbers crop.

    Raises:
        ValueError: If `stride` is not positive, or the kernel does not fit.

    Examples:
        >>> import jax.numpy as jnp
        >>> image, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 2))
        >>> conv(image, kernel, stride=2, padding=((0, 1), (0, 1))).shape
        (1, 2, 2, 2)
    """
    _check("conv", x, kernel, stride)
    image, taps = size_of(x), size_of(kernel, 0)
    if any(n + sum(p) < k for n, k, p in zip(image, taps, padding, strict=True)):
        raise ValueError(
            f"conv(padding={padding}): expected padding with which a kernel {taps} fits into an "
            f"image {image}; pad more, or use a smaller kernel"
        )
    height, width = (
        (n + sum(p) - k) // stride + 1 for n, k, p in zip(image, taps, padding, strict=True)
    )
    plan = ConvPlan(stride, (padding[0][0], padding[1][0]), (height, width), precision)
    return lax.platform_dependent(
        x, kernel, cpu=partial(forms.conv_cpu, plan), default=partial(forms.conv_lax, plan)
    )


@partial(jax.jit, static_argnames=("output_size", "stride", "precision"), inline=True)
def conv_transpose(
    x: Float[Array, "batch height width in_channels"],
    kernel: Float[Array, "kh kw in_channels out_channels"],
    *,
    output_size: Pair,
    stride: int = 2,
    precision: lax.PrecisionLike = None,
) -> Float[Array, "batch out_height out_width out_channels"]:
    """Transposed convolution, `y[stride i + a - top, stride j + b - left] += x[i, j] k[a, b]`.

    The full result has `(height - 1) stride + kh` rows; `output_size` crops it around its centre,
    `top = (full - output_size) // 2`. Kernel 4 with stride 2 gives every pixel inside the same
    number of taps, so no checkerboard (Odena et al. 2016).

    Raises:
        ValueError: If `output_size` or `stride` is out of range.

    References:
        Odena, Dumoulin, Olah (2016), Deconvolution and Checkerboard Artifacts, Distill.

    Examples:
        >>> import jax.numpy as jnp
        >>> conv_transpose(jnp.ones((1, 3, 3, 1)), jnp.ones((4, 4, 1, 2)), output_size=(7, 6)).shape
        (1, 7, 6, 2)
    """
    _check("conv_transpose", x, kernel, stride)
    image, taps = size_of(x), size_of(kernel, 0)
    full = (image[0] - 1) * stride + taps[0], (image[1] - 1) * stride + taps[1]
    if any(not 1 <= out <= most for out, most in zip(output_size, full, strict=True)):
        raise ValueError(
            f"conv_transpose(output_size={output_size}): expected at least (1, 1) and at most "
            f"{full}, the full size from an image {image} with kernel {taps} and stride {stride}; "
            "use a larger kernel, stride or image"
        )
    lows = (full[0] - output_size[0]) // 2, (full[1] - output_size[1]) // 2
    plan = ConvPlan(stride, lows, output_size, precision)
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(forms.transpose_cpu, plan),
        default=partial(forms.transpose_lax, plan),
    )


def _check(name: str, x: Array, kernel: Array, stride: int) -> None:
    if stride < 1:
        raise ValueError(f"{name}(stride={stride}): expected stride >= 1")
    if x.shape[-1] != kernel.shape[2]:
        raise ValueError(
            f"{name}: expected a kernel of shape (kh, kw, {x.shape[-1]}, out_channels) for the "
            f"{x.shape[-1]} channels of x, got {kernel.shape}"
        )
