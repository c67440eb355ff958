"""The code blocks of the VAE API reference about VAE's variants, typed in as they stand.

Obvious variables are filled in.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.vae import (
    VQVAE,  # Vector Quantized VAE
    BetaVAE,  # β-VAE with disentanglement
    BetaVAEWithCapacity,  # β-VAE with capacity control
    ConditionalVAE,  # Conditional VAE
)
from workshop.generative_models.models.vae.decoders import ConditionalDecoder, MLPDecoder
from workshop.generative_models.models.vae.encoders import ConditionalEncoder, MLPEncoder


@pytest.fixture
def rngs():
    return nnx.Rngs(params=0, dropout=1, sample=2)


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).random((32, 784), np.float32))


@pytest.fixture
def batch(x):
    return x


def networks(latent_dim, rngs):
    encoder = MLPEncoder([32, 16], latent_dim, input_dim=(784,), rngs=rngs)
    decoder = MLPDecoder([16, 32], (784,), latent_dim, rngs=rngs)
    return encoder, decoder


def test_beta_vae(batch, rngs):
    encoder, decoder = networks(32, rngs)
    num_steps = 3

    beta_vae = BetaVAE(
        encoder=encoder,
        decoder=decoder,
        latent_dim=32,
        beta_default=4.0,  # Higher β encourages disentanglement
        beta_warmup_steps=10000,  # Gradually increase β
        reconstruction_loss_type="mse",
        rngs=rngs,
    )

    # Training step with beta annealing
    for step in range(num_steps):
        outputs = beta_vae(batch, rngs=rngs)
        losses = beta_vae.loss_fn(x=batch, outputs=outputs, step=step)
        # losses['beta'] contains current β value
        assert float(losses["beta"]) == pytest.approx(4.0 * step / 10000)


def test_beta_vae_with_capacity(batch, rngs):
    encoder, decoder = networks(32, rngs)

    capacity_vae = BetaVAEWithCapacity(
        encoder=encoder,
        decoder=decoder,
        latent_dim=32,
        beta_default=4.0,
        use_capacity_control=True,
        capacity_max=25.0,
        capacity_num_iter=25000,
        gamma=1000.0,
        rngs=rngs,
    )
    outputs = capacity_vae(batch, rngs=rngs)
    step = 1000

    # Loss includes capacity terms
    losses = capacity_vae.loss_fn(x=batch, outputs=outputs, step=step)
    assert float(losses["current_capacity"]) == pytest.approx(1.0)  # 25 · 1000 / 25000
    difference = float(losses["kl_loss"]) - 1.0
    assert float(losses["kl_capacity_diff"]) == pytest.approx(difference, rel=1e-5)
    assert float(losses["capacity_loss"]) == pytest.approx(1000.0 * abs(difference), rel=1e-5)


def test_conditional_vae(rngs, x):
    x = x[:5]
    base_encoder, base_decoder = networks(32, rngs)

    # Create conditional encoder/decoder
    conditional_encoder = ConditionalEncoder(
        encoder=base_encoder,
        num_classes=10,
        embed_dim=128,
        rngs=rngs,
    )

    conditional_decoder = ConditionalDecoder(
        decoder=base_decoder,
        num_classes=10,
        embed_dim=128,
        rngs=rngs,
    )

    cvae = ConditionalVAE(
        encoder=conditional_encoder,
        decoder=conditional_decoder,
        latent_dim=32,
        condition_dim=10,
        rngs=rngs,
    )

    # Forward pass with class labels
    labels = jnp.array([0, 1, 2, 3, 4])
    outputs = cvae(x, y=labels, rngs=rngs)

    # Generate specific classes
    target_labels = jnp.array([5, 5, 5, 5])
    samples = cvae.sample(n_samples=4, y=target_labels, rngs=rngs)

    assert outputs["reconstructed"].shape == (5, 784)
    assert samples.shape == (4, 784)
    assert cvae.encoder is conditional_encoder
    assert cvae.decoder is conditional_decoder


def test_vqvae(rngs, x):
    encoder, decoder = networks(64, rngs)
    batch = x

    vqvae = VQVAE(
        encoder=encoder,
        decoder=decoder,
        latent_dim=64,
        num_embeddings=512,  # 512 discrete codes
        embedding_dim=64,
        commitment_cost=0.25,
        rngs=rngs,
    )

    # Forward pass includes quantization
    outputs = vqvae(x, rngs=rngs)
    assert outputs["z_e"].shape == (32, 64)  # Pre-quantization encoding
    assert outputs["quantized"].shape == (32, 64)  # Quantized (discrete) encoding
    assert outputs["commitment_loss"].shape == ()  # Commitment loss component
    assert outputs["codebook_loss"].shape == ()  # Codebook loss component

    # Loss includes VQ-specific terms
    losses = vqvae.loss_fn(x=batch, outputs=outputs)
    assert losses["reconstruction_loss"] > 0
    assert losses["commitment_loss"] is outputs["commitment_loss"]
    assert losses["codebook_loss"] is outputs["codebook_loss"]
