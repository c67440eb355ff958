"""The code blocks of the VAE API reference about encoders and decoders, typed in as they stand.

Obvious variables are filled in. test_reference_page.py has the blocks about models.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import ModelConfiguration
from workshop.generative_models.models.vae import BetaVAE
from workshop.generative_models.models.vae.decoders import (
    CNNDecoder,  # Transposed convolutional decoder
    ConditionalDecoder,  # Conditional wrapper
    MLPDecoder,  # Fully-connected decoder
    ResNetDecoder,  # ResNet-based decoder
    create_decoder_unified,
)
from workshop.generative_models.models.vae.encoders import (
    CNNEncoder,  # Convolutional encoder
    ConditionalEncoder,  # Conditional wrapper
    MLPEncoder,  # Fully-connected encoder
    ResNetEncoder,  # ResNet-based encoder
    create_encoder_unified,
)


@pytest.fixture
def rngs():
    return nnx.Rngs(params=0, dropout=1, sample=2)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).random((4, 784), np.float32))


def test_mlp_encoder(rngs, x):
    encoder = MLPEncoder(
        hidden_dims=[512, 256, 128],
        latent_dim=32,
        activation="relu",
        input_dim=(784,),
        rngs=rngs,
    )

    mean, log_var = encoder(x, rngs=rngs)

    assert mean.shape == log_var.shape == (4, 32)


def test_cnn_encoder(rngs, x):
    images = x.reshape(-1, 28, 28, 1)

    encoder = CNNEncoder(
        hidden_dims=[32, 64, 128, 256],
        latent_dim=64,
        activation="relu",
        input_dim=(28, 28, 1),
        rngs=rngs,
    )

    # Input shape: (batch, 28, 28, 1)
    mean, log_var = encoder(images, rngs=rngs)
    # Output shapes: (batch, 64), (batch, 64)
    assert mean.shape == log_var.shape == (4, 64)


def test_conditional_encoder(rngs, x):
    base_encoder = MLPEncoder(
        hidden_dims=[512, 256],
        latent_dim=32,
        rngs=rngs,
    )

    conditional_encoder = ConditionalEncoder(
        encoder=base_encoder,
        num_classes=10,
        embed_dim=128,
        rngs=rngs,
    )

    # Pass class labels as integers or one-hot
    labels = jnp.array([0, 1, 2, 3])
    mean, log_var = conditional_encoder(x, condition=labels, rngs=rngs)

    assert mean.shape == log_var.shape == (4, 32)
    again, _ = conditional_encoder(x, condition=jax.nn.one_hot(labels, 10), rngs=rngs)
    np.testing.assert_array_equal(again, mean)


def test_mlp_decoder(rngs, key):
    z = jax.random.normal(key, (8, 32))

    decoder = MLPDecoder(
        hidden_dims=[128, 256, 512],  # Reversed from encoder
        output_dim=(784,),
        latent_dim=32,
        activation="relu",
        rngs=rngs,
    )

    reconstructed = decoder(z)  # Shape: (batch, 784)

    assert reconstructed.shape == (8, 784)


def test_cnn_decoder(rngs, key):
    z = jax.random.normal(key, (2, 64))

    decoder = CNNDecoder(
        hidden_dims=[256, 128, 64, 32],  # Reversed channels
        output_dim=(28, 28, 1),
        latent_dim=64,
        activation="relu",
        rngs=rngs,
    )

    # Input: (batch, 64)
    reconstructed = decoder(z)  # Output: (batch, 28, 28, 1)

    assert reconstructed.shape == (2, 28, 28, 1)


def test_conditional_decoder(rngs, key):
    z = jax.random.normal(key, (4, 32))

    base_decoder = MLPDecoder(
        hidden_dims=[128, 256, 512],
        output_dim=(784,),
        latent_dim=32,
        rngs=rngs,
    )

    conditional_decoder = ConditionalDecoder(
        decoder=base_decoder,
        num_classes=10,
        embed_dim=128,
        rngs=rngs,
    )

    labels = jnp.array([0, 1, 2, 3])
    reconstructed = conditional_decoder(z, condition=labels, rngs=rngs)

    assert reconstructed.shape == (4, 784)
    again = conditional_decoder(z, condition=jax.nn.one_hot(labels, 10), rngs=rngs)
    np.testing.assert_array_equal(again, reconstructed)


@pytest.mark.parametrize(
    ("kind", "encoder_class", "decoder_class"),
    [
        ("dense", MLPEncoder, MLPDecoder),
        ("cnn", CNNEncoder, CNNDecoder),
        ("resnet", ResNetEncoder, ResNetDecoder),
    ],
)
def test_unified_factories(rngs, kind, encoder_class, decoder_class):
    config = ModelConfiguration(hidden_dims=(4, 8), latent_dim=3, input_shape=(6, 5, 1))

    encoder = create_encoder_unified(config=config, encoder_type=kind, rngs=rngs)
    decoder = create_decoder_unified(config=config, decoder_type=kind, rngs=rngs)
    assert type(encoder) is encoder_class
    assert type(decoder) is decoder_class
    assert (encoder.hidden_dims, decoder.hidden_dims) == ((4, 8), (8, 4))
    assert (encoder.input_dim, decoder.output_shape) == ((6, 5, 1), (6, 5, 1))

    conditional = {"conditional": True, "num_classes": 4, "embed_dim": 2}
    encoder = create_encoder_unified(config=config, encoder_type=kind, **conditional, rngs=rngs)
    decoder = create_decoder_unified(config=config, decoder_type=kind, **conditional, rngs=rngs)
    assert isinstance(encoder, ConditionalEncoder)
    assert isinstance(decoder, ConditionalDecoder)
    for wrapper, inner in ((encoder.encoder, encoder_class), (decoder.decoder, decoder_class)):
        assert type(wrapper) is inner
    assert (encoder.num_classes, decoder.embed_dim) == (4, 2)


@pytest.mark.slow
def test_complete_example():
    # Initialize
    rngs = nnx.Rngs(params=0, dropout=1, sample=2)

    # Create encoder
    encoder = CNNEncoder(
        hidden_dims=[32, 64, 128, 256],
        latent_dim=64,
        activation="relu",
        input_dim=(28, 28, 1),
        rngs=rngs,
    )

    # Create decoder
    decoder = CNNDecoder(
        hidden_dims=[256, 128, 64, 32],
        output_dim=(28, 28, 1),
        latent_dim=64,
        activation="relu",
        rngs=rngs,
    )

    # Create β-VAE
    model = BetaVAE(
        encoder=encoder,
        decoder=decoder,
        latent_dim=64,
        beta_default=4.0,
        beta_warmup_steps=10000,
        reconstruction_loss_type="mse",
        rngs=rngs,
    )

    # Forward pass
    x = jnp.ones((32, 28, 28, 1))
    outputs = model(x, rngs=rngs)

    # Calculate loss
    losses = model.loss_fn(x=x, outputs=outputs, step=5000)
    assert float(f"{losses['total_loss']:.4f}") > 0
    assert f"{losses['beta']:.4f}" == "2.0000"

    # Generate samples
    samples = model.sample(n_samples=16, temperature=1.0, rngs=rngs)

    # Latent traversal
    traversal = model.latent_traversal(x[0], dim=10, steps=15, rngs=rngs)

    assert outputs["reconstructed"].shape == x.shape
    assert samples.shape == (16, 28, 28, 1)
    assert traversal.shape == (15, 28, 28, 1)
