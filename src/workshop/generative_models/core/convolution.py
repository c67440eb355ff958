"""Convolutions that resample, each in two forms of which every backend gets its faster one.

The plain ``lax`` form is what accelerators run. On the CPU its gradients inside ``lax.scan`` are
up to a hundred times slower than they need be, so there every convolution is slices and one
matrix product. Both forms compute the same sums.

The encoder halves sizes by floor, ``downsampled(size)``, because the decoder's first map is
``max(size // 2**n, 1)``: so the encoder's last map and the decoder's first one have equal sizes.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

Padding = tuple[tuple[int, int], tuple[int, int]]
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def downsampled(size: int) -> int:
    """Size after one stride-2 stage, `max(size // 2, 1)`.

    Args:
        size: Height or width in pixels, at least 1.

    Example:
        >>> [downsampled(size) for size in (28, 7, 3, 1)]
        [14, 3, 1, 1]
    """
    return max(size // 2, 1)


def downsample_padding(size: int, kernel: int, stride: int = 2) -> tuple[int, int]:
    """Padding with which a strided convolution gives `max(size // stride, 1)` outputs.

    Args:
        size: Height or width of the input in pixels.
        kernel: Height or width of the kernel.
        stride: Step of the convolution.

    Returns:
        Zeros to add before and after, as evenly as possible, the odd one after.

    Example:
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
    padding: Padding,
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

    Example:
        >>> import jax.numpy as jnp
        >>> image, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 2))
        >>> conv(image, kernel, stride=2, padding=((0, 1), (0, 1))).shape
        (1, 2, 2, 2)
    """
    _check_stride("conv", stride)
    for size, k, pad in zip(x.shape[1:3], kernel.shape[:2], padding, strict=True):
        if min(pad) < 0 or size + sum(pad) < k:
            raise ValueError(
                f"conv(padding={padding}): expected non-negative padding with which the kernel "
                f"{kernel.shape[:2]} fits into the image {x.shape[1:3]}; pad more, or use a "
                "smaller kernel"
            )

    def plain(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT, precision=precision
        )

    def matrix(x: Array, kernel: Array) -> Array:
        return _conv_matrix(x, kernel, stride, padding, precision)

    return lax.platform_dependent(x, kernel, cpu=matrix, default=plain)


def conv_transpose(
    x: Float[Array, "batch height width in_channels"],
    kernel: Float[Array, "kh kw in_channels out_channels"],
    *,
    output_size: tuple[int, int],
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

    Example:
        >>> import jax.numpy as jnp
        >>> conv_transpose(jnp.ones((1, 3, 3, 1)), jnp.ones((4, 4, 1, 2)), output_size=(7, 6)).shape
        (1, 7, 6, 2)
    """
    _check_stride("conv_transpose", stride)
    full = [(size - 1) * stride + k for size, k in zip(x.shape[1:3], kernel.shape[:2], strict=True)]
    if any(not 1 <= out <= most for out, most in zip(output_size, full, strict=True)):
        raise ValueError(
            f"conv_transpose(output_size={output_size}): expected at least (1, 1) and at most "
            f"{tuple(full)} from an image {x.shape[1:3]} with kernel {kernel.shape[:2]} and stride "
            f"{stride}; use a larger kernel, stride or image"
        )
    crop = [((most - out) // 2, most - out) for out, most in zip(output_size, full, strict=True)]

    def plain(x: Array, kernel: Array) -> Array:
        padding = [
            (k - 1 - low, k - 1 - (total - low))
            for k, (low, total) in zip(kernel.shape[:2], crop, strict=True)
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

    def matrix(x: Array, kernel: Array) -> Array:
        starts = [low for low, _ in crop]
        return _conv_transpose_matrix(x, kernel, stride, starts, output_size, precision)

    return lax.platform_dependent(x, kernel, cpu=matrix, default=plain)


def _check_stride(name: str, stride: int) -> None:
    if stride < 1:
        raise ValueError(f"{name}(stride={stride}): expected stride >= 1")


def _conv_matrix(
    x: Array, kernel: Array, stride: int, padding: Padding, precision: lax.PrecisionLike
) -> Array:
    """The input split into its phases, patches of them by slices, and one product."""
    kh, kw, _, channels = kernel.shape
    sizes = [
        (size + sum(pad) - k) // stride + 1
        for size, k, pad in zip(x.shape[1:3], (kh, kw), padding, strict=True)
    ]
    patches = _patches(x, (kh, kw), stride, [pad[0] for pad in padding], sizes)
    return jnp.matmul(patches, kernel.reshape(-1, channels), precision=precision)


def _patches(
    x: Array, kernel: Sequence[int], stride: int, lows: Sequence[int], sizes: Sequence[int]
) -> Array:
    """All pixels under the kernel at each of `sizes` positions, in one last axis (kh kw C)."""
    batch, *image, channels = x.shape
    blocks = [n + (k - 1) // stride for n, k in zip(sizes, kernel, strict=True)]
    pads = [
        (low, stride * block - low - size)
        for low, block, size in zip(lows, blocks, image, strict=True)
    ]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((a, b, 0) for a, b in pads), (0, 0, 0)])
    phases = x.reshape(batch, blocks[0], stride, blocks[1], stride, channels)
    taps = []
    for a in range(kernel[0]):
        da, pa = divmod(a, stride)
        for b in range(kernel[1]):
            db, pb = divmod(b, stride)
            taps.append(phases[:, da : da + sizes[0], pa, db : db + sizes[1], pb])
    return jnp.concatenate(taps, axis=-1)


def _conv_transpose_matrix(
    x: Array,
    kernel: Array,
    stride: int,
    starts: Sequence[int],
    sizes: Sequence[int],
    precision: lax.PrecisionLike,
) -> Array:
    """All phases of the output in one product of 1/stride-size patches, then depth-to-space."""
    kh, kw, channels_in, channels = kernel.shape
    # Full row f = stride g + r gets input row g - d through kernel row stride d + r.
    reach = [-(-k // stride) for k in (kh, kw)]
    first = [start // stride for start in starts]
    blocks = [
        (start + size - 1) // stride - g + 1
        for start, size, g in zip(starts, sizes, first, strict=True)
    ]
    lows = [d - 1 - g for d, g in zip(reach, first, strict=True)]
    patches = _patches(x, reach, 1, lows, blocks)
    fill = [(0, d * stride - k) for d, k in zip(reach, (kh, kw), strict=True)]
    weights = jnp.pad(kernel, [*fill, (0, 0), (0, 0)])
    weights = weights.reshape(reach[0], stride, reach[1], stride, channels_in, channels)
    # Patches run over rising input rows, which is falling d.
    weights = weights[::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5)
    weights = weights.reshape(reach[0] * reach[1] * channels_in, -1)
    y = jnp.matmul(patches, weights, precision=precision)
    y = y.reshape(*y.shape[:3], stride, stride, channels).transpose(0, 1, 3, 2, 4, 5)
    y = y.reshape(x.shape[0], blocks[0] * stride, blocks[1] * stride, channels)
    top, left = (start - g * stride for start, g in zip(starts, first, strict=True))
    return y[:, top : top + sizes[0], left : left + sizes[1]]
