import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.layers import CNN, MLP, ResidualBlock, ResNet
from workshop.generative_models.core.modules import set_numerics


def built(make):
    """A module with all parameters drawn by NumPy: with biases, and without compiling draws."""
    graph, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    rng = np.random.default_rng(0)
    return nnx.merge(graph, jax.tree.map(lambda a: jnp.float32(rng.normal(size=a.shape)), state))


def weights(layer):
    return np.float64(layer.kernel[...]), np.float64(layer.bias[...])


def conv_float64(x, layer, stride=1):
    """Cross-correlation of a map whose sides are even if the stride is 2."""
    kernel, bias = weights(layer)
    pad = (1, 1) if stride == 1 else (0, 1)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, [(0, 0), pad, pad, (0, 0)]), (3, 3), (1, 2)
    )
    return np.einsum("bhwcij,ijcd->bhwd", windows[:, ::stride, ::stride], kernel) + bias


def doubled_float64(x, layer):
    """Every pixel adds the 4 by 4 kernel at twice its place; the border is cut off."""
    kernel, bias = weights(layer)
    batch, height, width, _ = x.shape
    full = np.zeros((batch, 2 * height + 2, 2 * width + 2, kernel.shape[-1]))
    for i in range(height):
        for j in range(width):
            stamp = np.einsum("bc,ijcd->bijd", x[:, i, j], kernel)
            full[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += stamp
    return full[:, 1:-1, 1:-1] + bias


def norm_float64(x, layer):
    """Group normalisation (Wu & He 2018): each group of channels to mean 0 and variance 1."""
    groups = x.reshape(*x.shape[:3], layer.num_groups, -1)
    mean = groups.mean((1, 2, 4), keepdims=True)
    variance = np.square(groups - mean).mean((1, 2, 4), keepdims=True)
    normal = ((groups - mean) / np.sqrt(variance + 1e-6)).reshape(x.shape)
    return normal * np.float64(layer.scale[...]) + np.float64(layer.bias[...])


def block_float64(x, block):
    """The block's formula, for a block with tanh and an image of even sides."""
    x = np.float64(x)
    kernel, bias = weights(block.shortcut)
    if block.up:
        main = doubled_float64(x, block.conv1)
        short = (x @ kernel + bias).repeat(2, 1).repeat(2, 2)
    else:
        main = conv_float64(x, block.conv1, stride=2)
        batch, height, width, channels = x.shape
        pixels = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
        short = pixels.mean((2, 4)) @ kernel + bias
    main = conv_float64(np.tanh(norm_float64(main, block.norm1)), block.conv2)
    return norm_float64(main, block.norm2) + norm_float64(short, block.shortcut_norm)


@pytest.mark.parametrize("up", [False, True])
def test_a_residual_block_is_its_formula(up):
    block = built(lambda rngs: ResidualBlock(3, 8, "tanh", up, precision="highest", rngs=rngs))
    assert block.norm1.num_groups == 2
    x = np.random.default_rng(1).normal(size=(2, 4, 6, 3)).astype(np.float32)
    result = jax.jit(lambda a: block(a, (8, 12) if up else None))(x)
    # Normalising twice in float32 between sums of 72 products.
    np.testing.assert_allclose(result, block_float64(x, block), rtol=0, atol=5e-5)


def test_bfloat16_gives_nearly_the_same_numbers():
    block = built(lambda rngs: ResidualBlock(3, 8, "tanh", False, dtype=jnp.bfloat16, rngs=rngs))
    x = np.random.default_rng(1).normal(size=(2, 4, 6, 3)).astype(np.float32)
    rounded = np.float32(jax.jit(lambda a: block(a))(x))
    # Steps of 2**-8 of numbers up to 3, through half a dozen operations; not a bit, and not none.
    assert 1e-4 < np.abs(rounded - block_float64(x, block)).max() < 0.1


def test_a_resnet_is_residual_blocks_with_an_activation_after_each():
    net = built(lambda rngs: ResNet([8, 4], "tanh", 3, rngs=rngs))
    x = jnp.zeros((2, 5, 7, 3))
    first, second = net.layers
    assert isinstance(first, ResidualBlock)
    by_hand = jax.make_jaxpr(lambda a: jnp.tanh(second(jnp.tanh(first(a)))))(x)
    assert str(jax.make_jaxpr(lambda a: net(a))(x)) == str(by_hand)
    assert [v.aval.shape for v in by_hand.jaxpr.outvars] == [(2, 1, 1, 4)]


def equations(jaxpr):
    """All equations of a program, those of its branches and calls too."""
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def products(function, *arguments):
    """The matrix products and convolutions of a function."""
    # A function of its own, as JAX remembers what a function was traced to.
    jaxpr = jax.make_jaxpr(lambda *a: function(*a))(*arguments).jaxpr
    names = ("dot_general", "conv_general_dilated")
    found = [e for e in equations(jaxpr) if e.primitive.name in names]
    assert found
    return found


def networks(**numerics):
    image, pixel, sizes = jnp.ones((2, 5, 4, 3)), jnp.ones((2, 1, 1, 3)), ((3, 2), (5, 4))
    for kind in (CNN, ResNet):
        down = built(lambda rngs, kind=kind: kind([8, 4], "relu", 3, rngs=rngs, **numerics))
        yield down, down, image
        up = built(
            lambda rngs, kind=kind: kind(
                [8, 4], "relu", 3, use_transpose=True, rngs=rngs, **numerics
            )
        )
        yield up, (lambda x, net=up: net(x, sizes)), pixel
    mlp = built(lambda rngs: MLP([8, 4], "relu", 3, rngs=rngs, **numerics))
    yield mlp, mlp, image


@pytest.mark.parametrize("afterwards", [False, True])
def test_dtype_and_precision_reach_every_layer_and_every_product(afterwards):
    highest = jax.lax.Precision.HIGHEST
    numerics = {"dtype": jnp.bfloat16, "precision": highest}
    for net, forward, x in networks(**({} if afterwards else numerics)):
        if afterwards:
            assert products(forward, x)[0].params["precision"] != (highest, highest)
            set_numerics(net, **numerics)
        for name, value in numerics.items():
            layers = [m for _, m in nnx.iter_modules(net) if hasattr(m, name)]
            assert layers
            assert all(getattr(layer, name) == value for layer in layers)
        for product in products(forward, x):
            assert product.params["precision"] == (highest, highest)
            assert {v.aval.dtype for v in product.invars} == {jnp.dtype(jnp.bfloat16)}
        assert jax.eval_shape(lambda a, f=forward: f(a), x).dtype == jnp.bfloat16
        parameters = jax.tree.leaves(nnx.state(net, nnx.Param))
        assert {a.dtype for a in parameters} == {jnp.dtype(jnp.float32)}
