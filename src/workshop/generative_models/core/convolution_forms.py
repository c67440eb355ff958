"""Forms of a convolution and of its adjoint: the plain one of `lax`, and one for the CPU.

Accelerators run the plain forms. On the CPU, XLA is fast at matrix products and at the convolutions
that a model writes, but not at their derivatives, and inside ``lax.scan`` up to a hundred times
slower than it need be. So the forms for the CPU are made of products. A transposed convolution is
one product to all of its taps, which are laid over each other and summed (overlap-add), in blocks
of stride × stride pixels (depth to space), a part of a large batch at a time. Its gradients are
products with the patches that each block of taps meets. The gradient of a convolution's kernel is
one product for each row of it.
"""

from functools import partial, reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

Pair = tuple[int, int]

PART = 6 << 20
"""Bytes of taps that are made at a time: so many stay in the processor's cache."""


class ConvPlan(NamedTuple):
    """A convolution or its adjoint: with equal `lows`, each is the other's."""

    stride: int
    lows: Pair  # so many zeros before the image, or of the full result so many pixels cropped
    size: Pair  # height and width of the result
    precision: lax.PrecisionLike


def size_of(array: Array, axis: int = 1) -> Pair:
    """Height and width, which of an image follow its batch, and come first in a kernel."""
    return array.shape[axis], array.shape[axis + 1]


def _lax(
    plan: ConvPlan, x: Array, kernel: Array, padding: list[Pair] | str, dilation: int = 1
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


def _read(plan: ConvPlan, taps: Pair) -> Pair:
    """Height and width of what is read, counted from `lows` before the image."""
    height, width = ((out - 1) * plan.stride + k for out, k in zip(plan.size, taps, strict=True))
    return height, width


def _window(x: Array, lows: Pair, size: Pair) -> Array:
    """The part of an image that begins `lows` before it, zeros where it has none."""
    edges = [(low, out - low - n, 0) for n, low, out in zip(size_of(x), lows, size, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])


def conv_lax(plan: ConvPlan, x: Array, kernel: Array) -> Array:
    """The convolution as `lax` has it."""
    read = _read(plan, size_of(kernel, 0))
    ends = zip(plan.lows, read, size_of(x), strict=True)
    return _lax(plan, x, kernel, [(low, out - low - n) for low, out, n in ends])


def transpose_lax(plan: ConvPlan, x: Array, kernel: Array) -> Array:
    """The transposed convolution as `lax` has it."""
    padding = [
        (k - 1 - low, low + out - 1 - (n - 1) * plan.stride)
        for n, k, low, out in zip(size_of(x), size_of(kernel, 0), plan.lows, plan.size, strict=True)
    ]
    return _lax(plan._replace(stride=1), x, kernel[::-1, ::-1], padding, plan.stride)


def _turned(plan: ConvPlan, kernel: Array) -> tuple[ConvPlan, Array]:
    """Without a stride a transposed convolution is a plain one, by the kernel turned about."""
    top, left = (k - 1 - low for k, low in zip(size_of(kernel, 0), plan.lows, strict=True))
    return plan._replace(lows=(top, left)), kernel[::-1, ::-1]


def _conv_products(plan: ConvPlan, x: Array, kernel: Array) -> Array:
    if plan.stride == 1 and kernel.shape[3] <= x.shape[-1]:  # its taps are less than its patches
        plan, kernel = _turned(plan, kernel)
        return _overlap_add(plan, x, kernel)
    # Padded beforehand, because on the CPU a convolution with negative padding reads beside the
    # array (openxla/xla issue 48713). XLA joins the two again where it may.
    x = _window(x, plan.lows, _read(plan, size_of(kernel, 0)))
    return _lax(plan, x, kernel, "VALID")


def _transpose_products(plan: ConvPlan, x: Array, kernel: Array) -> Array:
    if plan.stride == 1 and kernel.shape[3] > x.shape[-1]:
        plan, kernel = _turned(plan, kernel)
        return _conv_products(plan, x, kernel)
    return _overlap_add(plan, x, kernel)


def _blocked(kernel: Array, stride: int) -> Array:
    """Taps as (blocks down, blocks across, stride, stride, in, out), zeros where there are none."""
    (kh, kw), channels = size_of(kernel, 0), kernel.shape[2:]
    k = jnp.pad(kernel, [(0, -kh % stride), (0, -kw % stride), (0, 0), (0, 0)])
    k = k.reshape(-(-kh // stride), stride, -(-kw // stride), stride, *channels)
    return k.swapaxes(1, 2)


def _parts(examples: int, size: int) -> int:
    """In how many equal parts to take a batch, of which `size` bytes are made on the way."""
    wanted = -(-size // PART)
    return next((k for k in range(wanted, 4 * wanted) if k and examples % k == 0), 1)


def _overlap_add(plan: ConvPlan, x: Array, kernel: Array) -> Array:
    """A transposed convolution as one product to all taps, each laid over the result and summed."""
    n = len(x)
    count = _parts(n, x.nbytes // x.shape[-1] * kernel[:, :, 0].size)
    if count == 1:
        return _overlap_add_part(plan, x, kernel)
    # Each part has examples of the whole batch: of one on several devices, each does its own.
    parts = x.reshape(n // count, count, *x.shape[1:]).swapaxes(0, 1)
    y = lax.map(lambda part: _overlap_add_part(plan, part, kernel), parts)
    return y.swapaxes(0, 1).reshape(n, *y.shape[2:])


def _overlap_add_part(plan: ConvPlan, x: Array, kernel: Array) -> Array:
    """The result is summed in blocks of stride × stride pixels: to these a tap belongs whole."""
    stride, lows, size, precision = plan
    n, height, width, channels = x.shape
    k = _blocked(kernel, stride)
    down, across = k.shape[:2]
    k = jnp.moveaxis(k, 4, 0).reshape(channels, -1)
    y = jnp.matmul(x.reshape(-1, channels), k, precision=precision)
    y = y.reshape(n, height, width, down, across, -1)

    def laid(a: int, b: int) -> Array:
        edges = [(0, 0), (a, down - 1 - a), (b, across - 1 - b), (0, 0)]
        return jnp.pad(y[:, :, :, a, b], edges)

    y = reduce(add, (laid(a, b) for a in range(down) for b in range(across)))
    if stride > 1:  # depth to space
        y = y.reshape(*y.shape[:3], stride, stride, -1).swapaxes(2, 3)
        y = y.reshape(n, y.shape[1] * stride, -1, kernel.shape[3])
    return _window(y, (-lows[0], -lows[1]), size)


def _patches(plan: ConvPlan, x: Array, taps: Pair) -> list[Array]:
    """What each block of stride × stride taps meets, (pixels of the result, block's channels)."""
    stride, lows, size, _ = plan
    down, across = (-(-k // stride) for k in taps)
    blocks = size[0] + down - 1, size[1] + across - 1
    x = _window(x, lows, (blocks[0] * stride, blocks[1] * stride))
    x = x.reshape(x.shape[0], blocks[0], stride, blocks[1], stride, -1).swapaxes(2, 3)
    x = x.reshape(x.shape[0], *blocks, -1)  # space to depth
    return [
        x[:, a : a + size[0], b : b + size[1]].reshape(-1, x.shape[-1])
        for a in range(down)
        for b in range(across)
    ]


def _transpose_gradients(plan: ConvPlan, x: Array, kernel: Array, dy: Array) -> tuple[Array, Array]:
    """Both gradients of a transposed convolution, from the same patches of `dy`."""
    k = _blocked(kernel, plan.stride)
    patches = _patches(plan._replace(size=size_of(x)), dy, size_of(kernel, 0))
    flat = x.reshape(-1, x.shape[-1])
    matrices = jnp.moveaxis(k, 4, 5).reshape(len(patches), -1, x.shape[-1])
    product = partial(jnp.matmul, precision=plan.precision)
    dx = reduce(add, map(product, patches, matrices))
    dk = jnp.stack([product(flat.T, p) for p in patches])
    dk = jnp.moveaxis(dk.reshape(*k.shape[:2], -1, *k.shape[2:4], k.shape[5]), 2, 4)
    down, across, stride = *k.shape[:2], plan.stride
    dk = dk.swapaxes(1, 2).reshape(down * stride, across * stride, *kernel.shape[2:])
    return dx.reshape(x.shape), dk[: kernel.shape[0], : kernel.shape[1]]


def _kernel_gradient(plan: ConvPlan, x: Array, dy: Array, taps: Pair) -> Array:
    """`dk[a, b] = sum_ij x[stride i + a - top, stride j + b - left] dy[i, j]`, row by row."""
    stride, lows, (height, width), precision = plan
    if stride == 1 and dy.shape[-1] < x.shape[-1]:
        # The same sum with the roles exchanged, so that the copies are of the smaller array.
        lows = taps[0] - 1 - lows[0], taps[1] - 1 - lows[1]
        swapped = _kernel_gradient(ConvPlan(1, lows, size_of(x), precision), dy, x, taps)
        return swapped[::-1, ::-1].swapaxes(2, 3)
    channels, x = x.shape[-1], _window(x, lows, _read(plan, taps))
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
def conv_cpu(plan: ConvPlan, x: Array, kernel: Array) -> Array:
    """The convolution with derivatives made of products."""
    return _conv_products(plan, x, kernel)


@conv_cpu.defjvp
def _conv_cpu_jvp(plan: ConvPlan, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, kernel = primals

    def gradients(dy: Array) -> tuple[Array, Array]:
        dx = _transpose_products(plan._replace(size=size_of(x)), dy, kernel.swapaxes(2, 3))
        return dx, _kernel_gradient(plan, x, dy, size_of(kernel, 0))

    y = conv_cpu(plan, x, kernel)
    return y, jax.linear_transpose(gradients, y)(tangents)[0]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def transpose_cpu(plan: ConvPlan, x: Array, kernel: Array) -> Array:
    """The transposed convolution made of products, and so its derivatives."""
    return _transpose_products(plan, x, kernel)


@transpose_cpu.defjvp
def _transpose_cpu_jvp(plan: ConvPlan, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, kernel = primals

    def gradients(dy: Array) -> tuple[Array, Array]:
        return _transpose_gradients(plan, x, kernel, dy)

    y = transpose_cpu(plan, x, kernel)
    return y, jax.linear_transpose(gradients, y)(tangents)[0]
