"""The code blocks of the VAE API reference about VAE, typed in as they stand.

Obvious variables are filled in. test_reference_variants.py and test_reference_networks.py have the
other blocks.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.models.vae import VAE  # Base VAE class
from workshop.generative_models.models.vae.decoders import MLPDecoder
from workshop.generative_models.models.vae.encoders import MLPEncoder


@pytest.fixture
def rngs():
    return nnx.Rngs(params=0, dropout=1, sample=2)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).random((32, 784), np.float32))


@pytest.fixture
def test_images(x):
    return x


@pytest.fixture
def test_image(x):
    return x[0]


@pytest.fixture
def vae(rngs):
    encoder = MLPEncoder([32, 16], 20, input_dim=(784,), rngs=rngs)
    decoder = MLPDecoder([16, 32], (784,), 20, rngs=rngs)
    return VAE(encoder, decoder, 20, rngs=rngs)


class TestVAE:
    def test_encode(self, vae, x, rngs):
        mean, log_var = vae.encode(x, rngs=rngs)

        assert mean.shape == (32, 20)
        assert log_var.shape == (32, 20)

    def test_decode(self, vae, key, rngs):
        z = jax.random.normal(key, (32, 20))
        reconstructed = vae.decode(z, rngs=rngs)

        assert reconstructed.shape == (32, 784)
        assert ((reconstructed >= 0) & (reconstructed <= 1)).all()

    def test_reparameterize(self, vae, x, rngs):
        mean, log_var = vae.encode(x, rngs=rngs)
        z = vae.reparameterize(mean, log_var, rngs=rngs)

        assert z.shape == (32, 20)
        noise = jax.random.normal(nnx.Rngs(sample=2).sample(), (32, 20))
        # z = μ + σ ⊙ ε in float32: a few roundings of numbers near 1.
        np.testing.assert_allclose(z, mean + jnp.exp(log_var / 2) * noise, atol=1e-6)

    def test_reparameterize_clips_log_variance(self, vae):
        """Includes numerical stability via log-variance clipping to [-20, 20]."""
        mean, extreme = jnp.zeros((1, 20)), jnp.full((1, 20), 1e4)
        for sign in (-1, 1):
            clipped = vae.reparameterize(mean, jnp.full((1, 20), sign * 20.0), rngs=nnx.Rngs(3))
            z = vae.reparameterize(mean, sign * extreme, rngs=nnx.Rngs(3))
            np.testing.assert_array_equal(z, clipped)

    def test_call(self, vae, x, rngs):
        outputs = vae(x, rngs=rngs)

        page = ["reconstructed", "reconstruction", "mean", "log_var", "logvar", "z"]
        assert list(outputs.keys())[:6] == page
        assert outputs["reconstructed"].shape == (32, 784)
        assert outputs["z"].shape == (32, 20)

    def test_loss_fn(self, vae, x, rngs):
        outputs = vae(x, rngs=rngs)
        losses = vae.loss_fn(x=x, outputs=outputs)

        assert float(f"{losses['reconstruction_loss']:.4f}") > 0
        assert float(f"{losses['kl_loss']:.4f}") > 0
        assert float(f"{losses['total_loss']:.4f}") > 0
        assert losses["recon_loss"] is losses["reconstruction_loss"]
        assert losses["loss"] is losses["total_loss"]

    def test_sample(self, vae, rngs):
        # Generate 16 samples
        samples = vae.sample(n_samples=16, temperature=1.0, rngs=rngs)

        # More diverse samples
        hot_samples = vae.sample(n_samples=16, temperature=2.0, rngs=rngs)

        assert samples.shape == hot_samples.shape == (16, 784)
        # The same noise, twice as far from the origin: the latents' standard deviation doubles.
        noise = jax.random.normal(nnx.Rngs(sample=2).sample(), (16, 20))
        hot = vae.sample(n_samples=16, temperature=2.0, rngs=nnx.Rngs(sample=2))
        np.testing.assert_allclose(hot, vae.decode(2.0 * noise), atol=1e-6)
        assert hot.std(0).mean() > samples.std(0).mean()

    def test_generate(self, vae):
        samples = vae.generate(n_samples=4, temperature=1.5, rngs=nnx.Rngs(0))
        same = vae.sample(n_samples=4, temperature=1.5, rngs=nnx.Rngs(0))
        np.testing.assert_array_equal(samples, same)

    def test_reconstruct(self, vae, x, rngs):
        # Stochastic reconstruction
        recon = vae.reconstruct(x, deterministic=False, rngs=rngs)

        # Deterministic reconstruction (use latent mean)
        det_recon = vae.reconstruct(x, deterministic=True, rngs=rngs)

        assert recon.shape == det_recon.shape == x.shape
        np.testing.assert_array_equal(det_recon, vae.decode(vae.encode(x)[0]))
        assert (recon != det_recon).any()

    def test_interpolate(self, vae, test_images, rngs):
        x1 = test_images[0]
        x2 = test_images[1]
        interpolation = vae.interpolate(x1, x2, steps=10, rngs=rngs)

        assert interpolation.shape == (10, 784)

    def test_latent_traversal(self, vae, test_image, rngs):
        # Traverse dimension 5
        traversal = vae.latent_traversal(
            x=test_image,
            dim=5,
            range_vals=(-3.0, 3.0),
            steps=15,
            rngs=rngs,
        )

        assert traversal.shape == (15, 784)
        for dim in (20, -1):
            with pytest.raises(ValueError, match=rf"dim={dim}\): expected 0 <= dim < 20"):
                vae.latent_traversal(test_image, dim)


@pytest.mark.parametrize("jit", [nnx.jit, jax.jit])
class TestJitNotes:
    """When JIT-compiling functions that call these methods, mark n_samples and steps as static."""

    def test_sample(self, vae, rngs, jit):
        @jit(static_argnums=(1,))
        def draw(model, n_samples, rngs):
            return model.sample(n_samples, rngs=rngs)

        assert draw(vae, 3, rngs).shape == (3, 784)
        np.testing.assert_allclose(
            draw(vae, 3, nnx.Rngs(7)), vae.sample(3, rngs=nnx.Rngs(7)), atol=1e-6
        )

    def test_the_models_own_stream(self, vae, jit):
        @jit(static_argnums=(1,))
        def draw(model, n_samples):
            return model.sample(n_samples)

        first, second = draw(vae, 3), draw(vae, 3)
        # nnx.jit carries the stream on; jax.jit is pure and draws the same again.
        assert (first == second).all() == (jit is jax.jit)

    def test_interpolate(self, vae, x, jit):
        @jit(static_argnums=(3,))
        def path(model, x1, x2, steps):
            return model.interpolate(x1, x2, steps)

        line = path(vae, x[0], x[1], 5)
        assert line.shape == (5, 784)
        np.testing.assert_allclose(line, vae.interpolate(x[0], x[1], 5), atol=1e-6)
