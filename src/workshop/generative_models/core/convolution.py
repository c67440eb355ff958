"""Convolutions that resample, with derivatives that are fast on every backend.

Accelerators run the plain ``lax`` forms. On the CPU, XLA is fast at the convolutions that a model
writes, without dilation and with small kernels. Their derivatives in ``lax`` are not of that kind,
and inside ``lax.scan`` up to a hundred times slower than they need be. So here, on the CPU, a
transposed convolution is one plain convolution for each phase of its output, interleaved (depth to
space), and the gradient of a kernel is one matrix product for each row of it.

The encoder halves sizes by floor, ``downsampled(size)``, because the decoder's first map is
``max(size // 2**n, 1)``: so the encoder's last map and the decoder's first one have equal sizes.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

Pair = tuple[int, int]


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
    """Padding with which a strided convolution gives exactly `max(size // stride, 1)` outputs.

    Args:
        size: Height or width of the input in pixels.
        kernel: Height or width of the kernel.
        stride: Step of the convolution.

    Returns:
        Zeros to add before and after, as evenly as possible, the odd one after. A kernel shorter
        than the stride may fit once too often: then pixels to crop after, as a negative number.

    Examples:
        >>> downsample_padding(28, kernel=3), downsample_padding(7, kernel=1)
        ((0, 1), (0, -1))
    """
    total = (max(size // stride, 1) - 1) * stride + kernel - size
    if total <= -stride:
        return 0, total + stride - 1
    return max(total, 0) // 2, (max(total, 0) + 1) // 2


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
        padding: Zeros around the image, ((top, bottom), (left, right)); negative numbers crop.
        precision: Of the products, as `jax.lax.Precision`.

    Raises:
        ValueError: If `stride` is not positive, or the kernel does not fit.

    Examples:
        >>> import jax.numpy as jnp
        >>> image, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 2))
        >>> conv(image, kernel, stride=2, padding=((0, 1), (0, 1))).shape
        (1, 2, 2, 2)
    """
    _check("conv", x, kernel, stride)
    image, taps = _size(x), _size(kernel, 0)
    if any(n + sum(p) < k for n, k, p in zip(image, taps, padding, strict=True)):
        raise ValueError(
            f"conv(padding={padding}): expected padding with which a kernel {taps} fits into an "
            f"image {image}; pad more, or use a smaller kernel"
        )
    height, width = (
        (n + sum(p) - k) // stride + 1 for n, k, p in zip(image, taps, padding, strict=True)
    )
    plan = _Plan(stride, (padding[0][0], padding[1][0]), (height, width), precision)
    return lax.platform_dependent(
        x, kernel, cpu=partial(_conv, plan), default=partial(_conv_lax, plan)
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
    _check("conv_transpose", x, kernel, stride)
    image, taps = _size(x), _size(kernel, 0)
    full = (image[0] - 1) * stride + taps[0], (image[1] - 1) * stride + taps[1]
    if any(not 1 <= out <= most for out, most in zip(output_size, full, strict=True)):
        raise ValueError(
            f"conv_transpose(output_size={output_size}): expected at least (1, 1) and at most "
            f"{full}, the full size from an image {image} with kernel {taps} and stride {stride}; "
            "use a larger kernel, stride or image"
        )
    lows = (full[0] - output_size[0]) // 2, (full[1] - output_size[1]) // 2
    plan = _Plan(stride, lows, output_size, precision)
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(_conv_transpose, plan),
        default=partial(_conv_transpose_lax, plan),
    )


class _Plan(NamedTuple):
    """A convolution or its adjoint: with equal `lows`, each is the other's."""

    stride: int
    lows: Pair  # so many zeros before the image, or of the full result so many pixels cropped
    size: Pair  # height and width of the result
    precision: lax.PrecisionLike


def _size(array: Array, axis: int = 1) -> Pair:
    return array.shape[axis], array.shape[axis + 1]


def _check(name: str, x: Array, kernel: Array, stride: int) -> None:
    if stride < 1:
        raise ValueError(f"{name}(stride={stride}): expected stride >= 1")
    if x.shape[-1] != kernel.shape[2]:
        raise ValueError(
            f"{name}: expected a kernel of shape (kh, kw, {x.shape[-1]}, out_channels) for the "
            f"{x.shape[-1]} channels of x, got {kernel.shape}"
        )


def _lax(
    plan: _Plan, x: Array, kernel: Array, padding: list[Pair] | str, dilation: int = 1
) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (plan.stride, plan.stride),
        padding,
        lhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=plan.precision,
    )


def _padding(plan: _Plan, x: Array, taps: Pair) -> list[Pair]:
    """What is read around the image; negative where reading stops before its edge."""
    return [
        (low, (out - 1) * plan.stride + k - low - n)
        for n, k, low, out in zip(_size(x), taps, plan.lows, plan.size, strict=True)
    ]


def _pad(plan: _Plan, x: Array, taps: Pair) -> Array:
    edges = [(low, high, 0) for low, high in _padding(plan, x, taps)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])


def _conv_lax(plan: _Plan, x: Array, kernel: Array) -> Array:
    return _lax(plan, x, kernel, _padding(plan, x, _size(kernel, 0)))


def _conv_transpose_lax(plan: _Plan, x: Array, kernel: Array) -> Array:
    padding = [
        (k - 1 - low, low + out - 1 - (n - 1) * plan.stride)
        for n, k, low, out in zip(_size(x), _size(kernel, 0), plan.lows, plan.size, strict=True)
    ]
    return _lax(plan._replace(stride=1), x, kernel[::-1, ::-1], padding, plan.stride)


def _conv_padded(plan: _Plan, x: Array, kernel: Array) -> Array:
    # Padded beforehand, because on the CPU a convolution with negative padding reads beside the
    # array (openxla/xla issue 48713). XLA joins the two again where it may.
    return _lax(plan, _pad(plan, x, _size(kernel, 0)), kernel, "VALID")


def _conv_transpose_phases(plan: _Plan, x: Array, kernel: Array) -> Array:
    """Every stride-th pixel of the result is a plain convolution with every stride-th tap."""
    stride, lows, size, _ = plan
    blocks = -(-size[0] // stride), -(-size[1] // stride)

    def phase(r: int, c: int) -> Array:
        """Rows r, r + stride, ... and columns c, c + stride, ..., filled up to whole blocks."""
        (da, a), (db, b) = divmod(r + lows[0], stride), divmod(c + lows[1], stride)
        taps = kernel[a::stride, b::stride][::-1, ::-1]
        kh, kw = _size(taps, 0)
        height, width = -(-(size[0] - r) // stride), -(-(size[1] - c) // stride)
        if min(kh, kw, height, width) < 1:  # no tap meets this phase, or it lies outside
            return jnp.zeros((x.shape[0], *blocks, kernel.shape[-1]), x.dtype)
        plain = _Plan(1, (kh - 1 - da, kw - 1 - db), (height, width), plan.precision)
        y = _conv_padded(plain, x, taps)
        return jnp.pad(y, [(0, 0), (0, blocks[0] - height), (0, blocks[1] - width), (0, 0)])

    rows = [jnp.stack([phase(r, c) for c in range(stride)], 3) for r in range(stride)]
    y = jnp.stack(rows, 2).reshape(x.shape[0], *(n * stride for n in blocks), kernel.shape[-1])
    return y[:, : size[0], : size[1]]


def _kernel_gradient(plan: _Plan, x: Array, dy: Array, taps: Pair) -> Array:
    """`dk[a, b] = sum_ij x[stride i + a - top, stride j + b - left] dy[i, j]`, row by row."""
    stride, lows, (height, width), precision = plan
    if stride == 1 and dy.shape[-1] < x.shape[-1]:
        # The same sum with the roles exchanged, so that the copies are of the smaller array.
        lows = taps[0] - 1 - lows[0], taps[1] - 1 - lows[1]
        swapped = _kernel_gradient(_Plan(1, lows, _size(x), precision), dy, x, taps)
        return swapped[::-1, ::-1].swapaxes(2, 3)
    channels, x = x.shape[-1], _pad(plan, x, taps)
    rows, columns = (height - 1) * stride + 1, (width - 1) * stride + 1
    x = jnp.concatenate([x[:, :, b : b + columns : stride] for b in range(taps[1])], -1)
    dy = dy.reshape(-1, dy.shape[-1])

    def row(a: int) -> Array:
        patches = x[:, a : a + rows : stride].reshape(dy.shape[0], x.shape[-1])
        # Of two arrays multiplied over their long axis, the CPU wants the narrower one first.
        if dy.shape[1] < patches.shape[1]:
            return jnp.matmul(dy.T, patches, precision=precision).T
        return jnp.matmul(patches.T, dy, precision=precision)

    return jnp.stack([row(a) for a in range(taps[0])]).reshape(*taps, channels, -1)


# A tangent below is the transpose of the formulas for the gradients. Reverse mode transposes it
# again, which gives those formulas back; forward mode and higher derivatives work too, as they
# would not with `custom_vjp`.


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _conv(plan: _Plan, x: Array, kernel: Array) -> Array:
    return _conv_padded(plan, x, kernel)


@_conv.defjvp
def _conv_jvp(plan: _Plan, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, kernel = primals

    def gradients(dy: Array) -> tuple[Array, Array]:
        dx = _conv_transpose_phases(plan._replace(size=_size(x)), dy, kernel.swapaxes(2, 3))
        return dx, _kernel_gradient(plan, x, dy, _size(kernel, 0))

    y = _conv(plan, x, kernel)
    return y, jax.linear_transpose(gradients, y)(tangents)[0]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _conv_transpose(plan: _Plan, x: Array, kernel: Array) -> Array:
    return _conv_transpose_phases(plan, x, kernel)


@_conv_transpose.defjvp
def _conv_transpose_jvp(plan: _Plan, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, kernel = primals
    back = plan._replace(size=_size(x))

    def gradients(dy: Array) -> tuple[Array, Array]:
        dk = _kernel_gradient(back, dy, x, _size(kernel, 0))
        return _conv_padded(back, dy, kernel.swapaxes(2, 3)), dk.swapaxes(2, 3)

    y = _conv_transpose(plan, x, kernel)
    return y, jax.linear_transpose(gradients, y)(tangents)[0]
