"""Convolutions that resample, with derivatives that are fast on every backend.

Accelerators run the plain ``lax`` forms. On the CPU, XLA is fast only at a convolution as a model
writes it: one without dilation and with few images' worth of kernel. The derivatives of ``lax``
are not of that kind and inside ``lax.scan`` up to a hundred times slower than they need be. So on
the CPU every derivative is written with what is fast: a transposed convolution as one small plain
convolution per phase of its output, interleaved (depth to space), and the gradient of a kernel as
one matrix product per row of it.

The encoder halves sizes by floor, ``downsampled(size)``, because the decoder's first map is
``max(size // 2**n, 1)``: so the encoder's last map and the decoder's first one have equal sizes.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

Pair = tuple[int, int]
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def downsampled(size: int) -> int:
    """Size after one stride-2 stage, `max(size // 2, 1)`.

    Args:
        size: Height or width in pixels, at least 1.

    Examples:
        >>> [downsampled(size) for size in (28, 7, 3, 1)]
        [14, 3, 1, 1]
    """
    return max(size // 2, 1)


def downsample_padding(size: int, kernel: int, stride: int = 2) -> Pair:
    """Padding with which a strided convolution gives `max(size // stride, 1)` outputs.

    Args:
        size: Height or width of the input in pixels.
        kernel: Height or width of the kernel.
        stride: Step of the convolution.

    Returns:
        Zeros to add before and after, as evenly as possible, the odd one after.

    Examples:
        >>> downsample_padding(28, kernel=3)
        (0, 1)
    """
    total = max((max(size // stride, 1) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def conv(
    x: Float[Array, "batch height width in_channels"],
    kernel: Float[Array, "kh kw in_channels out_channels"],
    *,
    stride: int = 1,
    padding: tuple[Pair, Pair],
    precision: lax.PrecisionLike = None,
) -> Float[Array, "batch out_height out_width out_channels"]:
    """Cross-correlation, `y[i, j] = sum_ab x[stride i + a - top, stride j + b - left] k[a, b]`.

    Args:
        x: Images.
        kernel: Weights.
        stride: Step in both directions, at least 1.
        padding: Zeros around the image, ((top, bottom), (left, right)).
        precision: Of the products, as `jax.lax.Precision`.

    Raises:
        ValueError: If `stride` or `padding` is out of range, or the kernel does not fit.

    Examples:
        >>> import jax.numpy as jnp
        >>> image, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 2))
        >>> conv(image, kernel, stride=2, padding=((0, 1), (0, 1))).shape
        (1, 2, 2, 2)
    """
    _check_stride("conv", stride)
    image, taps = _sizes(x), _sizes(kernel, 0)
    if any(min(p) < 0 or n + sum(p) < k for n, k, p in zip(image, taps, padding, strict=True)):
        raise ValueError(
            f"conv(padding={padding}): expected non-negative padding with which a kernel {taps} "
            f"fits into an image {image}; pad more, or use a smaller kernel"
        )
    sizes = [(n + sum(p) - k) // stride + 1 for n, k, p in zip(image, taps, padding, strict=True)]
    lows = padding[0][0], padding[1][0]
    return lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _conv(x, kernel, stride, lows, (sizes[0], sizes[1]), precision),
        default=lambda x, kernel: _conv_lax(x, kernel, stride, padding, precision),
    )


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

    Args:
        x: Images.
        kernel: Weights, in the order of `conv` (input channels before output channels).
        output_size: Height and width of the result in pixels, at least 1, at most the full size.
        stride: Step in both directions, at least 1.
        precision: Of the products, as `jax.lax.Precision`.

    Raises:
        ValueError: If `output_size` or `stride` is out of range.

    References:
        Odena, Dumoulin, Olah (2016), Deconvolution and Checkerboard Artifacts, Distill.

    Examples:
        >>> import jax.numpy as jnp
        >>> conv_transpose(jnp.ones((1, 3, 3, 1)), jnp.ones((4, 4, 1, 2)), output_size=(7, 6)).shape
        (1, 7, 6, 2)
    """
    _check_stride("conv_transpose", stride)
    image, taps = _sizes(x), _sizes(kernel, 0)
    full = tuple((n - 1) * stride + k for n, k in zip(image, taps, strict=True))
    if any(not 1 <= out <= most for out, most in zip(output_size, full, strict=True)):
        raise ValueError(
            f"conv_transpose(output_size={output_size}): expected at least (1, 1) and at most "
            f"{full}, the full size from an image {image} with kernel {taps} and stride {stride}; "
            "use a larger kernel, stride or image"
        )
    starts = (full[0] - output_size[0]) // 2, (full[1] - output_size[1]) // 2
    static = stride, starts, output_size, precision
    return lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _conv_transpose(x, kernel, *static),
        default=lambda x, kernel: _conv_transpose_lax(x, kernel, *static),
    )


def _check_stride(name: str, stride: int) -> None:
    if stride < 1:
        raise ValueError(f"{name}(stride={stride}): expected stride >= 1")


def _sizes(array: Array, axis: int = 1) -> Pair:
    return array.shape[axis], array.shape[axis + 1]


# Below, `lows` is where the result's first pixel lies: so many zeros before the image (conv), or so
# many pixels into the full result (transposed). `sizes` is the height and width of the result. With
# equal `lows`, the two are each other's adjoint.


def _conv_lax(
    x: Array, kernel: Array, stride: int, padding: Sequence[Pair], precision: lax.PrecisionLike
) -> Array:
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT, precision=precision
    )


def _conv_transpose_lax(
    x: Array, kernel: Array, stride: int, lows: Pair, sizes: Pair, precision: lax.PrecisionLike
) -> Array:
    padding = [
        (k - 1 - low, low + out - 1 - (n - 1) * stride)
        for n, k, low, out in zip(_sizes(x), _sizes(kernel, 0), lows, sizes, strict=True)
    ]
    return lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1],
        (1, 1),
        padding,
        lhs_dilation=(stride, stride),
        dimension_numbers=_LAYOUT,
        precision=precision,
    )


def _pad(x: Array, taps: Pair, stride: int, lows: Pair, sizes: Pair) -> Array:
    """The pixels that a convolution to `sizes` reads, no more and no fewer."""
    pads = [
        (low, (out - 1) * stride + k - low - n, 0)
        for n, k, low, out in zip(_sizes(x), taps, lows, sizes, strict=True)
    ]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *pads, (0, 0, 0)])


def _conv_padded(
    x: Array, kernel: Array, stride: int, lows: Pair, sizes: Pair, precision: lax.PrecisionLike
) -> Array:
    # Padded beforehand, because a convolution with negative padding reads beside the array on the
    # CPU (openxla/xla issue 48713). XLA joins the two again where it may.
    x = _pad(x, _sizes(kernel, 0), stride, lows, sizes)
    return _conv_lax(x, kernel, stride, ((0, 0), (0, 0)), precision)


def _conv_transpose_phases(
    x: Array, kernel: Array, stride: int, lows: Pair, sizes: Pair, precision: lax.PrecisionLike
) -> Array:
    """Every stride-th pixel of the result is a plain convolution by every stride-th tap."""
    blocks = [-(-out // stride) for out in sizes]

    def phase(r: int, c: int) -> Array:
        """Rows r, r + stride, ... and columns c, c + stride, ..., zeros after the last."""
        starts = [(phase + low) % stride for phase, low in zip((r, c), lows, strict=True)]
        taps = kernel[starts[0] :: stride, starts[1] :: stride][::-1, ::-1]
        outs = [-(-(out - phase) // stride) for phase, out in zip((r, c), sizes, strict=True)]
        if min(*outs, *_sizes(taps, 0)) < 1:
            return jnp.zeros((x.shape[0], *blocks, kernel.shape[-1]), x.dtype)
        before = [
            k - 1 - (phase + low) // stride
            for phase, low, k in zip((r, c), lows, _sizes(taps, 0), strict=True)
        ]
        y = _conv_padded(x, taps, 1, (before[0], before[1]), (outs[0], outs[1]), precision)
        return jnp.pad(
            y, [(0, 0), *((0, b - n) for b, n in zip(blocks, outs, strict=True)), (0, 0)]
        )

    rows = [jnp.stack([phase(r, c) for c in range(stride)], 3) for r in range(stride)]
    y = jnp.stack(rows, 2).reshape(x.shape[0], *(b * stride for b in blocks), kernel.shape[-1])
    return y[:, : sizes[0], : sizes[1]]


def _kernel_gradient(
    x: Array, dy: Array, taps: Pair, stride: int, lows: Pair, precision: lax.PrecisionLike
) -> Array:
    """`dk[a, b] = sum_ij x[stride i + a - top, stride j + b - left] dy[i, j]`, in `taps` rows."""
    channels, outs = x.shape[-1], _sizes(dy)
    if stride == 1 and dy.shape[-1] < channels:
        # The same sum with the roles exchanged, so that the smaller array is the copied one.
        lows = taps[0] - 1 - lows[0], taps[1] - 1 - lows[1]
        return _kernel_gradient(dy, x, taps, 1, lows, precision)[::-1, ::-1].swapaxes(2, 3)
    x = _pad(x, taps, stride, lows, outs)
    span = (outs[1] - 1) * stride + 1
    x = jnp.concatenate([x[:, :, b : b + span : stride] for b in range(taps[1])], -1)
    span = (outs[0] - 1) * stride + 1
    dy = dy.reshape(-1, dy.shape[-1])

    def row(a: int) -> Array:
        patches = x[:, a : a + span : stride].reshape(dy.shape[0], -1)
        # Of two operands summed over their rows, the CPU wants the narrower one first.
        if dy.shape[1] < patches.shape[1]:
            return jnp.matmul(dy.T, patches, precision=precision).T
        return jnp.matmul(patches.T, dy, precision=precision)

    return jnp.stack([row(a) for a in range(taps[0])]).reshape(*taps, channels, -1)


# The tangents are the transposes of the formulas for the gradients: transposing them again, JAX
# finds those formulas, and forward mode and higher derivatives work as well. (With `custom_vjp`,
# they would not.)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4, 5))
def _conv(
    x: Array, kernel: Array, stride: int, lows: Pair, sizes: Pair, precision: lax.PrecisionLike
) -> Array:
    return _conv_padded(x, kernel, stride, lows, sizes, precision)


@_conv.defjvp
def _conv_jvp(
    stride: int,
    lows: Pair,
    sizes: Pair,
    precision: lax.PrecisionLike,
    primals: tuple[Array, Array],
    tangents: tuple[Array, Array],
) -> tuple[Array, Array]:
    x, kernel = primals

    def gradients(dy: Array) -> tuple[Array, Array]:
        back = kernel.swapaxes(2, 3)
        dx = _conv_transpose_phases(dy, back, stride, lows, _sizes(x), precision)
        return dx, _kernel_gradient(x, dy, _sizes(kernel, 0), stride, lows, precision)

    y = _conv(x, kernel, stride, lows, sizes, precision)
    return y, jax.linear_transpose(gradients, y)(tangents)[0]


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4, 5))
def _conv_transpose(
    x: Array, kernel: Array, stride: int, lows: Pair, sizes: Pair, precision: lax.PrecisionLike
) -> Array:
    return _conv_transpose_phases(x, kernel, stride, lows, sizes, precision)


@_conv_transpose.defjvp
def _conv_transpose_jvp(
    stride: int,
    lows: Pair,
    sizes: Pair,
    precision: lax.PrecisionLike,
    primals: tuple[Array, Array],
    tangents: tuple[Array, Array],
) -> tuple[Array, Array]:
    x, kernel = primals

    def gradients(dy: Array) -> tuple[Array, Array]:
        back = kernel.swapaxes(2, 3)
        dk = _kernel_gradient(dy, x, _sizes(kernel, 0), stride, lows, precision)
        return _conv_padded(dy, back, stride, lows, _sizes(x), precision), dk.swapaxes(2, 3)

    y = _conv_transpose(x, kernel, stride, lows, sizes, precision)
    return y, jax.linear_transpose(gradients, y)(tangents)[0]
