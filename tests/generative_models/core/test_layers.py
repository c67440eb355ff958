import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from workshop.generative_models.core.layers import (
    ACTIVATIONS,
    CNN,
    MLP,
    Conv,
    ConvTranspose,
    activation_by_name,
    group_norm,
    halvings,
    mean_of_pixels,
    repeat_to,
)

side = st.integers(1, 9)


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


# Written out from the papers' and NumPy's definitions, in float64.
IN_NUMPY = {
    "relu": lambda x: np.maximum(x, 0),
    # The tanh form of Hendrycks & Gimpel, which JAX takes by default.
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * special.expit(x),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "elu": elu,
    # Klambauer et al. 2017, equation 2.
    "selu": lambda x: (
        1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
    ),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "softplus": lambda x: np.logaddexp(x, 0),
    "identity": lambda x: x,
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation_is_numpys(name):
    x = np.linspace(-8, 8, 161).astype(np.float32)
    ours = activation_by_name(name)(jnp.asarray(x))
    # gelu is x / 2 · (1 + tanh). Its tanh may be off by 4 units in the last place: 4 · 4 · 2⁻²⁴.
    np.testing.assert_allclose(ours, IN_NUMPY[name](np.float64(x)), rtol=2e-6, atol=1e-6)


def test_an_unknown_activation_lists_those_there_are():
    with pytest.raises(ValueError, match=r"activation='rellu'.*elu, gelu.*did you mean 'relu'\?"):
        activation_by_name("rellu")


def built(make):
    """A module with all parameters drawn by NumPy: with biases, and without compiling draws."""
    graph, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    rng = np.random.default_rng(0)
    return nnx.merge(graph, jax.tree.map(lambda a: jnp.float32(rng.normal(size=a.shape)), state))


def weights(layer):
    return np.float64(layer.kernel[...]), np.float64(layer.bias[...])


@pytest.mark.parametrize("hidden_dims", [(3,), (7, 2, 5)])
def test_mlp_is_its_matrix_products_with_an_activation_after_each(hidden_dims):
    mlp = built(lambda rngs: MLP(hidden_dims, "tanh", 4, rngs=rngs, precision="highest"))
    x = np.random.default_rng(1).normal(size=(6, 4))
    expected = x
    for layer in mlp.layers:
        kernel, bias = weights(layer)
        expected = np.tanh(expected @ kernel + bias)
    assert expected.shape == (6, hidden_dims[-1])
    # tanh does not amplify errors; sums of up to 7 products of numbers up to 3.
    np.testing.assert_allclose(jax.jit(mlp)(jnp.float32(x)), expected, rtol=0, atol=2e-6)


def conv_float64(x, layer, stride):
    """Cross-correlation over windows, padded as the sizes need: 1 and 1, or what halving leaves."""
    kernel, bias = weights(layer)
    # Stride 2 to max(n // 2, 1) values with a kernel of 3: an even side lacks one pixel at its end,
    # an odd one none, a single pixel one on each side.
    pads = [
        (1, 1) if stride == 1 or n == 1 else ((0, 1) if n % 2 == 0 else (0, 0))
        for n in x.shape[1:3]
    ]
    x = np.pad(np.float64(x), [(0, 0), *pads, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], (1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows[:, ::stride, ::stride], kernel) + bias


def conv_transpose_float64(x, layer, size):
    """Every pixel adds the kernel at twice its place; the middle of the result is kept."""
    kernel, bias = weights(layer)
    batch, height, width, _ = x.shape
    full = np.zeros((batch, 2 * height + 2, 2 * width + 2, kernel.shape[-1]))
    for i in range(height):
        for j in range(width):
            stamp = np.einsum("bc,ijcd->bijd", np.float64(x[:, i, j]), kernel)
            full[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += stamp
    top, left = ((f - out) // 2 for f, out in zip(full.shape[1:3], size, strict=True))
    return full[:, top : top + size[0], left : left + size[1]] + bias


# Sums of at most 4 * 4 * 3 products of numbers up to 3, float32.
CLOSE = {"rtol": 1e-5, "atol": 2e-5}


@settings(max_examples=6)
@given(side, side, st.integers(1, 2))
def test_conv_is_windows_times_weights(height, width, stride):
    conv = built(lambda rngs: Conv(2, 3, (3, 3), strides=stride, precision="highest", rngs=rngs))
    x = np.random.default_rng(height).normal(size=(2, height, width, 2)).astype(np.float32)
    expected = conv_float64(x, conv, stride)
    sizes = [max(n // stride, 1) for n in (height, width)]
    assert expected.shape == (2, *sizes, 3)
    np.testing.assert_allclose(jax.jit(conv)(x), expected, **CLOSE)


def test_layers_without_a_bias_add_none():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, 2)), jnp.float32)
    for kind, arguments in ((Conv, ()), (ConvTranspose, ((8, 8),))):
        layer = built(lambda rngs, kind=kind: kind(2, 3, (4, 4), rngs=rngs))
        with_bias, bias = layer(x, *arguments), layer.bias[...]
        layer.bias = nnx.data(None)
        np.testing.assert_allclose(layer(x, *arguments) + bias, with_bias, rtol=1e-6)


@settings(max_examples=6)
@given(side, side)
def test_conv_transpose_is_stamps_of_the_kernel(height, width):
    layer = built(lambda rngs: ConvTranspose(2, 3, (4, 4), precision="highest", rngs=rngs))
    small = tuple(max(n // 2, 1) for n in (height, width))
    x = np.random.default_rng(width).normal(size=(2, *small, 2)).astype(np.float32)
    result = jax.jit(layer, static_argnums=1)(x, (height, width))
    np.testing.assert_allclose(result, conv_transpose_float64(x, layer, (height, width)), **CLOSE)


@settings(max_examples=3)
@given(side, side)
def test_cnn_halves_at_every_layer_and_doubles_back(height, width):
    x = np.random.default_rng(0).normal(size=(2, height, width, 2)).astype(np.float32)
    numerics = {"precision": "highest"}
    down = built(lambda rngs: CNN([4, 3], "tanh", 2, rngs=rngs, **numerics))
    expected = x
    for layer in down.layers:
        expected = np.tanh(conv_float64(expected, layer, 2))
    np.testing.assert_allclose(jax.jit(down)(x), expected, rtol=0, atol=1e-5)

    sizes = list(zip(halvings(height, 2), halvings(width, 2), strict=True))[1::-1]
    up = built(lambda rngs: CNN([4, 3], "tanh", 3, use_transpose=True, rngs=rngs, **numerics))
    back = jax.jit(lambda a: up(a, sizes))(jnp.float32(expected))
    for layer, size in zip(up.layers, sizes, strict=True):
        expected = np.tanh(conv_transpose_float64(expected, layer, size))
    assert expected.shape == (2, height, width, 3)
    np.testing.assert_allclose(back, expected, rtol=0, atol=3e-5)


@given(st.integers(1, 300), st.integers(0, 9))
def test_halvings_round_down_and_stop_at_one(size, times):
    assert halvings(size, times) == tuple(max(size >> k, 1) for k in range(times + 1))


@pytest.mark.parametrize(
    ("features", "groups"),
    [(1, 1), (3, 1), (4, 1), (6, 1), (8, 2), (12, 3), (13, 1), (14, 2), (16, 4), (20, 5), (24, 6),
     (28, 7), (32, 8), (36, 6), (40, 8), (64, 8), (100, 5), (512, 8)],
)  # fmt: skip
def test_group_norm_has_up_to_eight_groups_of_at_least_four_channels(features, groups):
    norm = nnx.eval_shape(lambda: group_norm(features, None, nnx.Rngs(0)))
    assert norm.num_groups == groups


def test_a_single_pixel_is_not_normalised_away():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 1, 1, 16)), jnp.float32)
    normal = jax.jit(group_norm(16, None, nnx.Rngs(0)))(x)
    # Each group of four has mean 0 and variance 1, and so have all sixteen.
    np.testing.assert_allclose(np.square(normal).reshape(3, 4, 4).mean(-1), 1, rtol=1e-3)


@settings(max_examples=10)
@given(side, side)
def test_mean_of_pixels_is_that_of_whole_two_by_two_blocks(height, width):
    x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
    sizes = [max(n // 2, 1) for n in (height, width)]
    expected = np.zeros((2, *sizes, 3))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            expected[:, i, j] = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((1, 2))
    np.testing.assert_allclose(jax.jit(mean_of_pixels)(x), expected, rtol=0, atol=1e-6)


@settings(max_examples=10)
@given(side, side)
def test_repeat_to_doubles_pixels_and_the_last_once_more(height, width):
    small = [max(n // 2, 1) for n in (height, width)]
    x = np.random.default_rng(0).normal(size=(2, *small, 3)).astype(np.float32)
    rows, columns = (
        np.minimum(np.arange(out) // 2, n - 1)
        for out, n in zip((height, width), small, strict=True)
    )
    result = jax.jit(repeat_to, static_argnums=1)(x, (height, width))
    np.testing.assert_array_equal(result, x[:, rows][:, :, columns])
