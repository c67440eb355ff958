"""Tiny models with a given objective, and their parts in float64 NumPy."""

import jax
import numpy as np
from flax import nnx

from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.core.critics import CriticParam
from workshop.generative_models.models.vae import VAE

X = np.random.default_rng(0).random((6, 4)).astype(np.float32)


def model_with(objective, *, event=(4,), **fields):
    """Return a VAE of two latents and one hidden layer of four units."""
    sizes = {"hidden_dims": fields.pop("hidden_dims", (4,)), "latent_dim": 2, "activation": "tanh"}
    config = VAEConfig(
        encoder=EncoderConfig(input_shape=event, **sizes),
        decoder=DecoderConfig(output_shape=event, **sizes),
        objective=objective,
        **fields,
    )
    return VAE(config, rngs=nnx.Rngs(0))


def losses_of(model, key=0, x=X):
    """Return the losses of a batch with the outputs that they were computed from, as NumPy."""

    @jax.jit
    def both(key):
        outputs = model(x, rngs=nnx.Rngs(key))
        return model.loss_fn(x=x, outputs=outputs, rng=key, step=1), outputs

    losses, outputs = both(jax.random.key(key))
    return as_float64(losses), as_float64(outputs)


def as_float64(found):
    """Return arrays by name, in float64."""
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


def weights(layer):
    """Return kernel and bias."""
    return np.asarray(layer.kernel[...], np.float64), np.asarray(layer.bias[...], np.float64)


def dense(layer, x):
    """Return what a linear layer gives."""
    kernel, bias = weights(layer)
    return x @ kernel + bias


def hidden(critic, x):
    """Return the last hidden layer of a dense critic, with JAX's slope of the leaky ReLU."""
    for layer in critic.backbone.layers:
        x = dense(layer, x)
        x = np.where(x >= 0, x, 0.01 * x)
    return x


def logits(critic, x):
    """Return what a dense critic gives."""
    return dense(critic.head, hidden(critic, x))[:, 0]


def softplus(x):
    """Return log(1 + exp x)."""
    return np.logaddexp(0, x)


def kl_of(outputs):
    """Return the KL of diagonal Gaussians to N(0, I), the mean over the batch."""
    mean, log_var = outputs["mean"], outputs["log_var"]
    return 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(-1).mean()


def squared_error(outputs, x=X):
    """Return minus the likelihood `mse`, the mean over the batch."""
    return np.square(outputs["reconstructed"] - x).sum(-1).mean()


def parts(params):
    """Return the arrays of the model without its critic, and those of the critic."""
    critic, model = nnx.split_state(params, CriticParam, ...)
    return [[np.asarray(a) for a in jax.tree.leaves(part)] for part in (model, critic)]
