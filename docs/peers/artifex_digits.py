"""artifex: train a VAE on digits, measure it."""

import sys

import jax
import numpy as np
import optax
from artifex.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from artifex.generative_models.core.losses.vae import vae_elbo_terms
from artifex.generative_models.models.vae import VAE
from artifex.generative_models.training.loops import train_epoch_staged
from artifex.generative_models.training.trainers import VAETrainer, VAETrainingConfig
from flax import nnx
from sklearn.datasets import load_digits

steps, seed = map(int, sys.argv[1:])
x = load_digits().data.astype(np.float32) / 16  # (1797, 64)
train, test = x[:1500], x[1500:]

shared = {"latent_dim": 8, "hidden_dims": (64,), "activation": "relu"}
encoder = EncoderConfig(name="encoder", input_shape=(64,), **shared)
decoder = DecoderConfig(name="decoder", output_shape=(64,), **shared)
config = VAEConfig(name="vae", encoder=encoder, decoder=decoder, encoder_type="dense")
model = VAE(config, rngs=nnx.Rngs(params=seed, dropout=seed + 1, sample=seed + 2))
optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
loss = VAETrainer(VAETrainingConfig(kl_annealing="none")).create_loss_fn(loss_type="bce")
for epoch in range(steps // 15):
    order = np.random.default_rng([seed, epoch]).permutation(1500)
    key = jax.random.fold_in(jax.random.key(seed), epoch)
    train_epoch_staged(model, optimizer, jax.device_put(train[order]), 100, key, loss)

outputs = model(test)
terms = vae_elbo_terms(
    reconstructed=outputs["reconstructed"],
    targets=test,
    mean=outputs["mean"],
    log_var=outputs["log_var"],
    reconstruction_loss_type="bce",
)
print({"reconstruction": float(terms["reconstruction_loss"]), "KL": float(terms["kl_loss"])})
