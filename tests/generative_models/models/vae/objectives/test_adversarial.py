"""The adversarial autoencoder and VAE-GAN against NumPy and separate gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critic_models import (
    X,
    dense,
    hidden,
    kl_of,
    logits,
    losses_of,
    model_with,
    parts,
    softplus,
    squared_error,
)
from flax import nnx

from workshop.generative_models.core.configuration import (
    AdversarialConfig,
    ConditionalVAEConfig,
    DecoderConfig,
    EncoderConfig,
    PointMassConfig,
    VAEGANConfig,
)
from workshop.generative_models.core.gaussian import kl_to_standard_normal
from workshop.generative_models.models.vae import ConditionalVAE
from workshop.generative_models.models.vae.inference import LossContext


def drawn(key, rows):
    """Return the prior's samples that an objective draws."""
    key = LossContext(key=jax.random.key(key)).key
    return np.asarray(jax.random.normal(key, (rows, 2)), np.float64)


@pytest.mark.parametrize("posterior", [None, PointMassConfig()])
def test_the_adversarial_losses_are_those_of_the_definition(posterior):
    config = AdversarialConfig(adversarial_weight=2.5, hidden_dims=(5, 3))
    model = model_with(config, posterior=posterior)
    losses, outputs = losses_of(model)
    critic, z = model.objective.critic, outputs["z"]
    misled = softplus(-logits(critic, z)).mean()
    np.testing.assert_allclose(losses["adversarial_loss"], misled, rtol=1e-5)
    np.testing.assert_allclose(
        losses["total_loss"], squared_error(outputs) + 2.5 * misled, rtol=1e-5
    )
    real = softplus(-logits(critic, drawn(0, 6))).mean()
    fake = softplus(logits(critic, z)).mean()
    np.testing.assert_allclose(losses["critic_loss"], 0.5 * (real + fake), rtol=1e-5)
    assert ("kl_loss" in losses) == ("elbo" in losses) == (posterior is None)


def test_the_losses_of_vae_gan_are_those_of_the_definition():
    model = model_with(VAEGANConfig(feature_weight=0.7, hidden_dims=(5, 3)))
    losses, outputs = losses_of(model)
    critic, decoder = model.objective.critic, model.decoder
    latents = np.tanh(dense(decoder.backbone.layers[0], drawn(0, 6)))
    samples = 1 / (1 + np.exp(-dense(decoder.output_layer, latents)))
    made = np.concatenate([outputs["reconstructed"], samples])
    x = X.astype(np.float64)
    features = 0.5 * np.square(hidden(critic, x) - hidden(critic, made[:6])).sum(-1).mean()
    misled = 2 * softplus(-logits(critic, made)).mean()
    np.testing.assert_allclose(losses["feature_loss"], features, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(losses["adversarial_loss"], misled, rtol=1e-5)
    np.testing.assert_allclose(
        losses["total_loss"], kl_of(outputs) + 1.7 * features + misled, rtol=1e-5
    )
    real, fake = softplus(-logits(critic, x)).mean(), softplus(logits(critic, made)).mean()
    np.testing.assert_allclose(losses["critic_loss"], 0.5 * (real + fake), rtol=1e-5)


def test_encoder_and_decoder_of_vae_gan_have_the_gradients_of_their_own_losses():
    model = model_with(VAEGANConfig(feature_weight=0.7, hidden_dims=(5, 3)))
    critic, key = model.objective.critic, jax.random.key(0)
    _, outputs = losses_of(model)
    noise = (outputs["z"] - outputs["mean"]) / np.exp(0.5 * outputs["log_var"])
    noise = jnp.asarray(noise, jnp.float32)
    prior_latents = jnp.asarray(drawn(0, 6), jnp.float32)
    params = nnx.state(model, nnx.Param)

    def plain(params, name):
        """Return the encoder's or the decoder's loss, each of all parameters."""
        made = model.with_params(params)
        mean, log_var = made.encoder(X)
        x = nnx.sigmoid(made.decoder(mean + jnp.exp(0.5 * log_var) * noise))
        features = [critic.backbone(each) for each in (jnp.asarray(X), x)]
        distance = 0.5 * jnp.square(features[0] - features[1]).sum(-1).mean()
        if name == "encoder":
            return distance + kl_to_standard_normal(mean, log_var).sum(-1).mean()
        samples = nnx.sigmoid(made.decoder(prior_latents))
        adversarial = [nnx.softplus(-critic(each)).mean() for each in (x, samples)]
        return 0.7 * distance + sum(adversarial)

    def total(params):
        return model.loss_fn(params, {"x": X}, key)["total_loss"]

    @jax.jit
    def gradients(params):
        return jax.grad(total)(params), *(
            jax.grad(plain)(params, n) for n in ("encoder", "decoder")
        )

    found, of_encoder, of_decoder = gradients(params)
    for name, expected in (("encoder", of_encoder), ("decoder", of_decoder)):
        pairs = zip(*(jax.tree.leaves(state[name]) for state in (found, expected)), strict=True)
        for a, b in pairs:
            # Sums of float32 in another order.
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert all((g == 0).all() for g in parts(found)[1])


def test_a_conditional_model_decodes_its_samples_with_the_batchs_classes():
    sizes = {"hidden_dims": (4,), "latent_dim": 2}
    config = ConditionalVAEConfig(
        encoder=EncoderConfig(input_shape=(4,), **sizes),
        decoder=DecoderConfig(output_shape=(4,), **sizes),
        objective=VAEGANConfig(hidden_dims=(5, 3)),
        condition_dim=3,
    )
    model, y = ConditionalVAE(config, rngs=nnx.Rngs(0)), np.arange(6) % 3

    @jax.jit
    def both(key, latents):
        outputs = model(X, y, rngs=nnx.Rngs(key))
        losses = model.loss_fn(batch={"x": X, "y": y}, outputs=outputs, rng=key)
        return losses, outputs["reconstructed"], model.decode(latents, y)

    losses, *made = both(jax.random.key(0), jnp.asarray(drawn(0, 6), jnp.float32))
    scores = logits(model.objective.critic, np.concatenate(made).astype(np.float64))
    np.testing.assert_allclose(losses["adversarial_loss"], 2 * softplus(-scores).mean(), rtol=1e-5)


def test_a_critic_of_images_is_convolutional():
    model = model_with(VAEGANConfig(hidden_dims=(2, 3)), event=(5, 6, 1))
    critic = model.objective.critic
    assert [layer.kernel.shape for layer in critic.backbone.layers] == [(3, 3, 1, 2), (3, 3, 2, 3)]
    x = np.random.default_rng(1).random((2, 5, 6, 1)).astype(np.float32)
    losses, outputs = losses_of(model, x=x)
    made = jnp.asarray(outputs["reconstructed"], jnp.float32)
    a, b = jax.jit(lambda x, y: (critic.features(x), critic.features(y)))(x, made)
    expected = 0.5 * np.square(np.float64(a) - np.float64(b)).sum(-1).mean()
    assert a.shape == (2, 1 * 1 * 3)
    np.testing.assert_allclose(losses["feature_loss"], expected, rtol=1e-4, atol=1e-8)
