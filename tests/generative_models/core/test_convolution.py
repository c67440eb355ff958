"""Both forms of each convolution against float64 loops, against lax and against each other."""

from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from jax import lax

from workshop.generative_models.core import convolution as c
from workshop.generative_models.core import convolution_forms as forms

# float32 sums of at most 16 x 4 (values) or 3 x 12 x 12 (kernel gradients) products of standard
# normal numbers: errors of a few 1e-7 of the largest sum, whatever the order of summation.
TOLERANCE = 5e-6


def close(actual, expected):
    expected = np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    scale = max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, 0, TOLERANCE * scale)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def terms(image, taps, stride, lows, size):
    """All (result pixel, image pixel, tap) of a convolution, by its definition."""
    for i, j, a, b in np.ndindex(*size, *taps):
        row, column = stride * i + a - lows[0], stride * j + b - lows[1]
        if 0 <= row < image[0] and 0 <= column < image[1]:
            yield (i, j), (row, column), (a, b)


def loops(x, kernel, dy, stride, lows):
    """Value and both gradients of the convolution to dy's size, in float64."""
    x, kernel, dy = (np.asarray(v, np.float64) for v in (x, kernel, dy))
    y, dx, dk = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(kernel)
    for (i, j), (p, q), ab in terms(x.shape[1:3], kernel.shape[:2], stride, lows, dy.shape[1:3]):
        y[:, i, j] += x[:, p, q] @ kernel[ab]
        dx[:, p, q] += dy[:, i, j] @ kernel[ab].T
        dk[ab] += x[:, p, q].T @ dy[:, i, j]
    return y, dx, dk


def loops_transposed(x, kernel, dy, stride, lows):
    """The same of the transposed convolution, which sends x[i, j] where `terms` reads."""
    x, kernel, dy = (np.asarray(v, np.float64) for v in (x, kernel, dy))
    y, dx, dk = np.zeros_like(dy), np.zeros_like(x), np.zeros_like(kernel)
    for (i, j), (p, q), ab in terms(dy.shape[1:3], kernel.shape[:2], stride, lows, x.shape[1:3]):
        y[:, p, q] += x[:, i, j] @ kernel[ab]
        dx[:, i, j] += dy[:, p, q] @ kernel[ab].T
        dk[ab] += x[:, i, j].T @ dy[:, p, q]
    return y, dx, dk


def with_gradients(function, x, kernel, dy):
    @jax.jit
    def run(x, kernel, dy):
        y, pull = jax.vjp(function, x, kernel)
        return y, *pull(dy)

    return run(x, kernel, dy)


small = st.integers(1, 9)
case = {
    "batch": st.integers(1, 3),
    "image": st.tuples(small, small),
    "taps": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "channels": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    "stride": st.integers(1, 3),
}
pads = st.tuples(st.integers(-1, 4), st.integers(-1, 4))


@settings(max_examples=10)
@given(**case, padding=st.tuples(pads, pads))
# Here a convolution with negative padding reads beside its array (openxla/xla issue 48713).
@example(1, (3, 6), (4, 1), (3, 4), 2, ((3, 0), (0, 3)))
@example(2, (5, 4), (3, 3), (4, 1), 1, ((1, 1), (1, 1)))
def test_conv_is_its_definition(batch, image, taps, channels, stride, padding):
    assume(all(n + sum(p) >= k for n, p, k in zip(image, padding, taps, strict=True)))
    size = [(n + sum(p) - k) // stride + 1 for n, p, k in zip(image, padding, taps, strict=True)]
    x, kernel = normal(batch, *image, channels[0]), normal(*taps, *channels, seed=1)
    dy = normal(batch, *size, channels[1], seed=2)
    lows = padding[0][0], padding[1][0]
    function = partial(c.conv, stride=stride, padding=padding)
    for actual, expected in zip(
        with_gradients(function, x, kernel, dy), loops(x, kernel, dy, stride, lows), strict=True
    ):
        close(actual, expected)


@settings(max_examples=10)
@given(**case, crop=st.tuples(st.integers(0, 9), st.integers(0, 9)))
@example(2, (3, 3), (4, 4), (2, 1), 2, (1, 1))
@example(1, (1, 1), (4, 4), (1, 2), 2, (3, 3))
@example(1, (2, 3), (1, 2), (1, 1), 3, (0, 1))
def test_conv_transpose_is_its_definition(batch, image, taps, channels, stride, crop):
    full = [(n - 1) * stride + k for n, k in zip(image, taps, strict=True)]
    size = tuple(max(most - less, 1) for most, less in zip(full, crop, strict=True))
    lows = tuple((most - out) // 2 for most, out in zip(full, size, strict=True))
    x, kernel = normal(batch, *image, channels[0]), normal(*taps, *channels, seed=1)
    dy = normal(batch, *size, channels[1], seed=2)
    function = partial(c.conv_transpose, stride=stride, output_size=size)
    for actual, expected in zip(
        with_gradients(function, x, kernel, dy),
        loops_transposed(x, kernel, dy, stride, lows),
        strict=True,
    ):
        close(actual, expected)


LAYERS = [  # image, taps, in, out, stride: the encoder's, a residual block's, an output layer's
    ((12, 10), (3, 3), 3, 8, 2),
    ((7, 5), (4, 4), 8, 4, 2),
    ((6, 7), (3, 3), 8, 8, 1),
    ((6, 7), (3, 3), 8, 1, 1),
    ((7, 6), (1, 1), 4, 8, 2),
]


@pytest.mark.parametrize(("image", "taps", "inputs", "outputs", "stride"), LAYERS)
def test_both_forms_of_conv_are_lax(image, taps, inputs, outputs, stride):
    x, kernel = normal(2, *image, inputs), normal(*taps, inputs, outputs, seed=1)
    padding = tuple(c.downsample_padding(n, k, stride) for n, k in zip(image, taps, strict=True))
    size = tuple(max(n // stride, 1) for n in image)
    dy = normal(2, *size, outputs, seed=2)

    def oracle(x, kernel):
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=layout
        )

    plan = forms.ConvPlan(stride, (padding[0][0], padding[1][0]), size, None)
    expected = with_gradients(oracle, x, kernel, dy)
    for form in (forms.conv_cpu, forms.conv_lax):
        for actual, wanted in zip(
            with_gradients(partial(form, plan), x, kernel, dy), expected, strict=True
        ):
            close(actual, wanted)


@pytest.mark.parametrize(
    ("image", "size", "taps"),
    [((3, 3), (7, 7), 4), ((7, 3), (14, 7), 4), ((4, 5), (9, 10), 4), ((1, 2), (1, 5), 4),
     ((3, 4), (7, 9), 3), ((5, 3), (10, 6), 3)],
)  # fmt: skip
def test_both_forms_of_conv_transpose_are_lax(image, size, taps):
    x, kernel = normal(2, *image, 4), normal(taps, taps, 4, 3, seed=1)
    lows = tuple((2 * (n - 1) + taps - out) // 2 for n, out in zip(image, size, strict=True))
    dy = normal(2, *size, 3, seed=2)

    def oracle(x, kernel):
        # No crop: then no padding is negative, also in the gradients.
        y = lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), [(taps - 1, taps - 1)] * 2)
        return y[:, lows[0] :, lows[1] :][:, : size[0], : size[1]]

    expected = with_gradients(oracle, x, kernel, dy)
    plan = forms.ConvPlan(2, lows, size, None)
    for form in (forms.transpose_cpu, forms.transpose_lax):
        for actual, wanted in zip(
            with_gradients(partial(form, plan), x, kernel, dy), expected, strict=True
        ):
            close(actual, wanted)


@settings(max_examples=8)
@given(image=case["image"], taps=case["taps"], stride=st.integers(1, 2))
def test_the_two_are_adjoint(image, taps, stride):
    """<conv(x), y> = <x, conv_transpose(y)>, the padding of the one being the crop of the other."""
    padding = tuple(c.downsample_padding(n, k, stride) for n, k in zip(image, taps, strict=True))
    assume(all(min(p) >= 0 for p in padding))
    kernel, x = normal(*taps, 3, 2), normal(2, *image, 3, seed=1)
    forward = c.conv(x, kernel, stride=stride, padding=padding)
    y = normal(*forward.shape, seed=2)
    full = [(n - 1) * stride + k for n, k in zip(y.shape[1:3], taps, strict=True)]
    # An unread last row or column can't come back.
    size = tuple(min(n, most) for n, most in zip(image, full, strict=True))
    assume(all((most - out) // 2 == p[0] for most, out, p in zip(full, size, padding, strict=True)))
    back = c.conv_transpose(y, kernel.swapaxes(2, 3), output_size=size, stride=stride)
    left = np.vdot(np.asarray(forward, np.float64), y)
    right = np.vdot(x[:, : size[0], : size[1]], np.asarray(back, np.float64))
    # Two float32 sums of up to 2 x 81 x 16 x 6 products.
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=2e-4)


def test_kernel_4_with_stride_2_has_no_checkerboard():
    y = c.conv_transpose(jnp.ones((1, 5, 6, 1)), jnp.ones((4, 4, 1, 1)), output_size=(10, 12))
    np.testing.assert_array_equal(y[0, 1:-1, 1:-1, 0], 4)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_downsampling_gives_the_decoders_sizes(kernel):
    for size in range(1, 40):
        low, high = c.downsample_padding(size, kernel)
        outputs = (size + low + high - kernel) // 2 + 1
        assert outputs == c.downsampled(size) == max(size // 2, 1)
        assert 0 <= low <= max(high, 0) <= low + 1
        for stages in range(6):
            n = size
            for _ in range(stages):
                n = c.downsampled(n)
            assert n == max(size // 2**stages, 1)
    assert c.downsample_padding(28, 4) == (1, 1)
    assert c.downsample_padding(7, 3) == (0, 0)
    assert c.downsample_padding(1, 4) == (1, 2)
    assert c.downsample_padding(5, 3, stride=1) == (1, 1)


# A stride-2 layer and its counterpart, as functions of two arrays.
DOWN = partial(c.conv, stride=2, padding=((1, 1), (0, 1)))
UP = partial(c.conv_transpose, output_size=(7, 6))


def up_in_parts(*arguments, **options):
    """The same in parts, of batches of another size: jit keeps programs by shape alone."""
    with mock.patch.object(forms, "PART", 2400):  # of 4608 bytes: two parts of two
        return UP(*arguments, **options)


BOTH = pytest.mark.parametrize(
    ("function", "x", "kernel"),
    [(DOWN, normal(2, 6, 5, 3), normal(4, 3, 3, 2, seed=1)),
     (UP, normal(2, 3, 3, 3), normal(4, 4, 3, 2, seed=1)),
     (up_in_parts, normal(4, 3, 3, 3), normal(4, 4, 3, 2, seed=1))],
    ids=["conv", "conv_transpose", "conv_transpose in parts"],
)  # fmt: skip


def test_a_batch_in_parts_keeps_its_order():
    x, kernel = normal(6, 3, 3, 3), normal(4, 4, 3, 2, seed=1)
    dy = normal(6, 7, 6, 2, seed=2)
    assert forms._parts(6, 6912) == 1
    with mock.patch.object(forms, "PART", 2400):
        assert forms._parts(6, 6912) == 3
        assert " scan[" in str(jax.make_jaxpr(UP)(x, kernel))
        actual = with_gradients(UP, x, kernel, dy)
    for value, expected in zip(actual, loops_transposed(x, kernel, dy, 2, (0, 1)), strict=True):
        close(value, expected)
    # 7 examples are cut into 7 parts or none; where three are wanted, twelve would be too many.
    assert [forms._parts(7, n * forms.PART) for n in (0, 1, 2, 3, 1000)] == [1, 1, 7, 7, 1]


@BOTH
def test_outside_of_jit_only_a_first_call_compiles(function, x, kernel, caplog):
    y = function(x, kernel)
    with jax.log_compiles():
        again = function(x, kernel)
    assert not [message for message in caplog.messages if "ompil" in message]
    np.testing.assert_array_equal(again, y)


@BOTH
def test_bfloat16(function, x, kernel):
    x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    exact = function(x.astype(jnp.float32), kernel.astype(jnp.float32))
    dy = jnp.ones(exact.shape, jnp.bfloat16)
    y, dx, dk = with_gradients(function, x, kernel, dy)
    assert {y.dtype, dx.dtype, dk.dtype} == {jnp.dtype(jnp.bfloat16)}
    # One rounding to 8 bits of a sum made in float32; a second one where taps add up.
    atol = 2**-7 * float(jnp.abs(exact).max())
    np.testing.assert_allclose(np.asarray(y, np.float32), exact, 0, atol)


@BOTH
def test_vmap(function, x, kernel):
    xs, kernels = jnp.stack([x, 2 * x + 1]), jnp.stack([kernel, kernel[::-1]])
    for axes in ((0, 0), (0, None), (None, 0)):
        arguments = [v if a == 0 else v[0] for v, a in zip((xs, kernels), axes, strict=True)]
        batched = jax.jit(jax.vmap(function, axes))(*arguments)
        for i in range(2):
            close(batched[i], function(xs[i if axes[0] == 0 else 0], kernels[i * (axes[1] == 0)]))


@pytest.mark.sampled
@BOTH
def test_forward_mode_and_second_derivatives(function, x, kernel):
    """Of a bilinear map f: df = f(dx, k) + f(x, dk), and d2 of f^2 / 2 = <df, df> + <f, d2f>."""
    dx, dk = normal(*x.shape, seed=3), normal(*kernel.shape, seed=4)
    y, tangent = jax.jit(lambda p, t: jax.jvp(function, p, t))((x, kernel), (dx, dk))
    expected = function(dx, kernel) + function(x, dk)
    close(tangent, expected)

    def half_square(v):
        return 0.5 * jnp.sum(function(*v) ** 2)

    def product(gradient, v, t):
        return sum(jnp.vdot(a, b) for a, b in zip(gradient(v), t, strict=True))

    curvature = np.sum(expected**2) + 2 * np.vdot(y, function(dx, dk))
    forward = jax.jit(lambda v, t: jax.jvp(jax.grad(half_square), (v,), (t,))[1])
    reverse = jax.jit(jax.grad(lambda v, t: product(jax.grad(half_square), v, t)))
    for second in (forward, reverse):
        hvp = second((x, kernel), (dx, dk))
        total = sum(np.vdot(a, b) for a, b in zip(hvp, (dx, dk), strict=True))
        # Sums of a few thousand float32 products, some of which cancel.
        np.testing.assert_allclose(total, curvature, rtol=1e-4)


@pytest.mark.sampled
@BOTH
def test_gradients_inside_loops(function, x, kernel):
    """Gradient descent in a scan and in a loop of traced length is that of a Python loop."""

    def step(kernel):
        return kernel - 0.01 * jax.grad(lambda k: jnp.mean(function(x, k) ** 2))(kernel)

    expected = jnp.asarray(kernel)
    for _ in range(3):
        expected = step(expected)
    scanned, _ = jax.jit(lambda k: lax.scan(lambda k, _: (step(k), None), k, None, 3))(kernel)
    looped = jax.jit(lambda k, n: lax.fori_loop(0, n, lambda _, k: step(k), k))(kernel, 3)
    close(scanned, expected)
    close(looped, expected)


@BOTH
def test_only_the_platforms_own_form_is_compiled(function, x, kernel):
    def loss(x, kernel):
        return jnp.sum(function(x, kernel) ** 2)

    traced = jax.jit(jax.grad(loss, (0, 1))).trace(x, kernel)
    cpu = traced.lower(lowering_platforms=("cpu",)).as_text()
    gpu = traced.lower(lowering_platforms=("cuda",)).as_text()
    # On the accelerator the value and its two derivatives; on the CPU products.
    assert gpu.count("stablehlo.convolution") == 3
    assert gpu.count("stablehlo.dot_general") == 0
    assert cpu.count("stablehlo.dot_general") >= kernel.shape[0]
    assert cpu.count("stablehlo.convolution") <= 1
    assert " conditional(" not in traced.lower().compile().as_text()


@BOTH
def test_precision_reaches_every_product(function, x, kernel):
    def loss(x, kernel):
        return jnp.sum(function(x, kernel, precision="highest") ** 2)

    text = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).as_text()
    lines = [line for line in text.splitlines() if "dot_general" in line or "convolution" in line]
    assert len(lines) > 5
    assert all("HIGHEST, HIGHEST" in line or "HIGHEST>, " in line for line in lines)


def test_an_empty_batch():
    assert DOWN(jnp.zeros((0, 6, 5, 3)), normal(4, 3, 3, 2)).shape == (0, 3, 2, 2)


def test_errors():
    x, kernel = jnp.ones((1, 3, 3, 2)), jnp.ones((4, 4, 2, 1))
    none = ((0, 0), (0, 0))
    with pytest.raises(ValueError, match=r"conv\(stride=0\): expected stride >= 1"):
        c.conv(x, kernel, stride=0, padding=none)
    with pytest.raises(ValueError, match=r"conv\(padding=.*kernel \(4, 4\) fits into an image"):
        c.conv(x, kernel, padding=none)
    with pytest.raises(ValueError, match=r"conv_transpose\(stride=0\)"):
        c.conv_transpose(x, kernel, output_size=(6, 6), stride=0)
    for size in ((9, 8), (8, 9), (0, 8)):
        with pytest.raises(ValueError, match=r"output_size=.*at most \(8, 8\)"):
            c.conv_transpose(x, kernel, output_size=size)
    with pytest.raises(ValueError, match=r"expected a kernel of shape \(kh, kw, 2, out_channels"):
        c._check("conv", x, jnp.ones((3, 3, 1, 1)), 1)
