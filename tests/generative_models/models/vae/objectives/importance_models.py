"""A small model with a learned prior and scale, and its gradients under several objectives."""

import jax
import numpy as np
from flax import nnx

from workshop.generative_models.core.configuration import MixtureConfig
from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder

X = np.random.default_rng(0).random((6, 5), np.float32)
KEY = jax.random.key(7, impl="rbg")  # which compiles in no time


def parts(rngs):
    encoder = MLPEncoder([4], 2, "tanh", (5,), rngs=rngs)
    return encoder, MLPDecoder([4], (5,), 2, "tanh", rngs=rngs), 2


def model_with(objective):
    """Return a model without a closed-form KL, so that its ELBO is that of samples."""
    rngs = nnx.Rngs(1)
    options = {"prior": MixtureConfig(components=2), "likelihood": "gaussian", "scale": "learned"}
    return VAE(*parts(rngs), objective=objective, rngs=rngs, **options)


def losses_under(model, objectives, batch, key=KEY):
    """Return {name: (losses, gradient of the loss)} of a model under each objective, jitted."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)

    def under(objective, params, rest, batch):
        def loss(params):
            model = nnx.merge(graphdef, params, rest)
            model.objective = objective
            losses = model.loss_fn(batch=batch, rng=key)
            return losses["total_loss"], losses

        gradient, losses = jax.grad(loss, has_aux=True)(params)
        return losses, gradient

    @jax.jit
    def of_all(*arguments):
        return {name: under(objective, *arguments) for name, objective in objectives.items()}

    return of_all(params, rest, batch)


def close(one, other, message="", rtol=1e-4):
    """Compare two states in float32, by the size of the largest number of each array."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.isfinite(b).all()
        largest = float(np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * largest, err_msg=message)
