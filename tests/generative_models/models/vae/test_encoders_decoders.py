"""Encoders and decoders called on their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.layers import Conv, ConvTranspose
from workshop.generative_models.models.vae import (
    CNNDecoder,
    CNNEncoder,
    ConditionalDecoder,
    ConditionalEncoder,
    MLPDecoder,
    MLPEncoder,
    ResNetDecoder,
    ResNetEncoder,
    create_decoder,
    create_encoder,
)

ENCODERS = pytest.mark.parametrize("cls", [MLPEncoder, CNNEncoder, ResNetEncoder])
DECODERS = pytest.mark.parametrize("cls", [MLPDecoder, CNNDecoder, ResNetDecoder])


def float64(layer):
    return np.asarray(layer.kernel[...], np.float64), np.asarray(layer.bias[...], np.float64)


def mlp64(h, layers, activation):
    """Return h through linear layers with an activation after each, in float64."""
    for layer in layers:
        kernel, bias = float64(layer)
        h = activation(h @ kernel + bias)
    return h


def randomize_biases(module):
    """Give every bias a value: initial ones are zero and would hide a missing one."""
    rng = np.random.default_rng(0)
    for _, layer in nnx.iter_modules(module):
        if isinstance(layer, nnx.Linear):
            layer.bias[...] = jnp.asarray(rng.normal(size=layer.bias.shape), jnp.float32)


def test_mlp_encoder_is_its_formula(images):
    encoder = MLPEncoder([7, 5], 3, "tanh", input_dim=(9, 6, 2), rngs=nnx.Rngs(0))
    randomize_biases(encoder)
    h = mlp64(np.asarray(images, np.float64).reshape(3, -1), encoder.backbone.layers, np.tanh)
    for found, projection in zip(
        encoder(images), (encoder.mean_proj, encoder.logvar_proj), strict=True
    ):
        kernel, bias = float64(projection)
        np.testing.assert_allclose(found, h @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_mlp_decoder_is_its_formula_and_not_squashed():
    decoder = MLPDecoder([5, 7], (3, 2), 4, "relu", rngs=nnx.Rngs(0))
    randomize_biases(decoder)
    z = np.random.default_rng(1).normal(size=(6, 4))
    h = mlp64(z, decoder.backbone.layers, lambda a: np.maximum(a, 0))
    kernel, bias = float64(decoder.output_layer)
    expected = (h @ kernel + bias).reshape(6, 3, 2)
    found = decoder(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (found < 0).any()
    assert (found > 1).any()


@pytest.mark.parametrize("pooling", ["flatten", "mean"])
def test_cnn_encoder_flattens_or_averages_its_last_map(images, pooling):
    encoder = CNNEncoder([4, 6], 3, "tanh", input_dim=(9, 6, 2), rngs=nnx.Rngs(0), pooling=pooling)
    last = np.asarray(encoder.cnn(images), np.float64)
    assert last.shape == (3, 2, 1, 6)
    kernel, bias = float64(encoder.mean_proj)
    h = last.reshape(3, -1) if pooling == "flatten" else last.mean((1, 2))
    np.testing.assert_allclose(encoder(images)[0], h @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_pooling_needs_images():
    with pytest.raises(ValueError, match="pooling='mean' needs a convolutional encoder"):
        MLPEncoder([4], 2, input_dim=6, rngs=nnx.Rngs(0), pooling="mean")


def test_cnn_decoder_starts_with_its_projection():
    decoder = CNNDecoder([6, 4], (9, 6, 2), 3, "tanh", rngs=nnx.Rngs(0))
    z = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)), jnp.float32)
    first = decoder.project(z).reshape(3, 2, 1, 6)
    expected = decoder.output_conv(decoder.cnn(first, ((4, 3), (9, 6))))
    np.testing.assert_array_equal(decoder(z), expected)


@ENCODERS
def test_one_example_of_an_encoder(cls, images):
    encoder = cls([4], 3, input_dim=(9, 6, 2), rngs=nnx.Rngs(0))
    batch, single = encoder(images[:1]), encoder(images[0], rngs=nnx.Rngs(0))
    for one, other in zip(batch, single, strict=True):
        np.testing.assert_array_equal(other, one[0])


@DECODERS
def test_one_example_of_a_decoder(cls):
    decoder = cls([4], (9, 6, 2), 3, rngs=nnx.Rngs(0))
    z = jnp.ones((1, 3))
    np.testing.assert_array_equal(decoder(z[0]), decoder(z)[0])
    with pytest.raises(ValueError, match=r"z has shape \(2, 4\), expected \(batch, 3\)"):
        decoder(jnp.ones((2, 4)))


@ENCODERS
def test_wrong_shape_for_an_encoder(cls):
    encoder = cls([4], 3, input_dim=(9, 6, 2), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=rf"{cls.__name__}: x has shape \(3, 9, 6, 1\), expected"):
        encoder(jnp.ones((3, 9, 6, 1)))


@ENCODERS
def test_built_at_the_first_call_is_built_the_same(cls, images):
    given = cls([4], 3, input_dim=(9, 6, 2), rngs=nnx.Rngs(0))
    later = cls([4], 3, rngs=nnx.Rngs(0))
    assert later.input_dim is None
    for one, other in zip(given(images), later(images), strict=True):
        np.testing.assert_array_equal(one, other)
    assert later.input_dim == (9, 6, 2)
    again = later(images)
    np.testing.assert_array_equal(again[0], given(images)[0])


@pytest.mark.parametrize("name", ["identity", "tanh", "sigmoid"])
def test_output_activations(name):
    decoder = MLPDecoder([4], (6,), 3, rngs=nnx.Rngs(0), output_activation=name)
    logits = np.linspace(-2, 2, 6)
    expected = {"identity": logits, "tanh": np.tanh(logits), "sigmoid": 1 / (1 + np.exp(-logits))}
    np.testing.assert_allclose(decoder.activation(jnp.asarray(logits)), expected[name], rtol=1e-5)


def test_unknown_output_activation():
    with pytest.raises(ValueError, match=r"output_activation='sigmiod': .*did you mean 'sigmoid'"):
        MLPDecoder([4], (6,), 3, rngs=nnx.Rngs(0), output_activation="sigmiod")


class TestResNet:
    """Two convolutions and a normalised shortcut in each block, with GroupNorm."""

    @pytest.mark.parametrize(
        ("build", "first"),
        [
            (lambda: ResNetEncoder([8, 16], 3, input_dim=(9, 6, 2), rngs=nnx.Rngs(0)), Conv),
            (lambda: ResNetDecoder([16, 8], (9, 6, 2), 3, rngs=nnx.Rngs(0)), ConvTranspose),
        ],
        ids=["encoder", "decoder"],
    )
    def test_blocks(self, build, first):
        network = jax.eval_shape(build)
        assert len(network.cnn.layers) == 2
        for block, features in zip(network.cnn.layers, network.hidden_dims, strict=True):
            assert isinstance(block.conv1, first)
            assert isinstance(block.conv2, Conv)
            assert block.conv2.kernel_size == (3, 3)
            for norm in (block.norm1, block.norm2, block.shortcut_norm):
                assert isinstance(norm, nnx.GroupNorm)
                assert norm.scale.shape == (features,)
                assert norm.num_groups > 1
            assert isinstance(block.shortcut, nnx.Linear)

    def test_a_block_adds_its_shortcut(self, images):
        encoder = ResNetEncoder([8], 3, "tanh", input_dim=(9, 6, 2), rngs=nnx.Rngs(0))
        (block,) = encoder.cnn.layers
        whole = block(images)
        assert whole.shape == (3, 4, 3, 8)
        block.norm2.scale[...] = jnp.zeros(8)  # the main path is silent: the shortcut remains
        halved = images[:, :8].reshape(3, 4, 2, 3, 2, 2).mean((2, 4))
        expected = block.shortcut_norm(block.shortcut(halved))
        np.testing.assert_allclose(block(images), expected, atol=1e-5)
        assert (whole != expected).any()


@pytest.mark.parametrize("kind", ["dense", "cnn", "resnet"])
def test_conditional_wrappers_of_every_kind(make_config, images, kind):
    config = make_config("vae", kind)
    options = {"conditional": True, "num_classes": 3, "rngs": nnx.Rngs(0)}
    encoder = create_encoder(config.encoder, kind, **options)
    decoder = create_decoder(config.decoder, kind, **options)
    assert isinstance(encoder, ConditionalEncoder)
    assert isinstance(decoder, ConditionalDecoder)
    labels = jnp.array([0, 1, 2])
    mean, log_var = encoder(images, labels)
    assert mean.shape == log_var.shape == (3, 4)
    one, _ = encoder(images[0], 0)
    np.testing.assert_allclose(one, mean[0], atol=1e-6)
    logits = decoder(mean, labels)
    assert logits.shape == images.shape
    np.testing.assert_allclose(decoder(mean[0], 0), logits[0], atol=1e-6)
