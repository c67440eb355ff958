"""Misspelt keyword arguments: an error, or a warning where the reference accepts any."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop import hub
from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.models.vae import MODELS, VAE
from workshop.generative_models.models.vae.prior import CodePrior

EVENT = (6,)
X = jnp.ones((2, *EVENT))


@pytest.fixture(scope="module")
def models(make_model):
    prior = CodePrior(PriorConfig(layers=1, width=4, heads=1), (2,), 5, rngs=nnx.Rngs(0))
    return {n: make_model(n, event=EVENT, hidden_dims=(3,)) for n in MODELS} | {"prior": prior}


# Where the reference says "unused", "for compatibility".
WARNED = {
    "VAE.generate": ("vae", "generate"),
    "BetaVAE.generate": ("beta-vae", "generate"),
    "ConditionalVAE.sample": ("conditional-vae", "sample"),
    "VQVAE.sample": ("vq-vae", "sample"),
}


@pytest.mark.parametrize("name", WARNED)
def test_a_keyword_that_is_not_used_is_warned_of(models, name):
    which, method = WARNED[name]
    sample = getattr(models[which], method)
    message = re.escape("does not use the keyword argument 'temprature'; did you mean 'temperature")
    with pytest.warns(UserWarning, match=message):
        found = sample(2, temprature=0.1, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(found, sample(2, rngs=nnx.Rngs(0)))


REFUSED = {
    "VAE.sample": ("vae", lambda m: m.sample(2, temprature=0.1), "temperature"),
    "VAE.sample(y)": ("vae", lambda m: m.sample(2, y=1), "!reads no class"),
    "VAE.encode(deterministic)": ("vae", lambda m: m.encode(X, deterministic=True), None),
    "VAE.reconstruct": ("vae", lambda m: m.reconstruct(X, determinstic=True), "deterministic"),
    "VAE.__call__": ("vae", lambda m: m(X, determinstic=True), "deterministic"),
    "VAE.interpolate": ("vae", lambda m: m.interpolate(X[0], X[1], stpes=3), "steps"),
    "VAE.latent_traversal": (
        "vae",
        lambda m: m.latent_traversal(X[0], 0, range_val=(-1, 1)),
        "range_vals",
    ),
    "VAE.loss_fn": ("vae", lambda m: m.loss_fn(x=X, betta=1.0), "beta"),
    "BetaVAE.loss_fn": ("beta-vae", lambda m: m.loss_fn(x=X, stop=1), "step"),
    "BetaVAEWithCapacity.loss_fn": (
        "beta-vae-capacity",
        lambda m: m.loss_fn(x=X, kl_per_dimensions=True),
        "kl_per_dimension",
    ),
    "VQVAE.loss_fn": ("vq-vae", lambda m: m.loss_fn(X, stop=1), "step"),
    "ConditionalVAE.generate": ("conditional-vae", lambda m: m.generate(2, Y=1), None),
    "VQVAE.generate": ("vq-vae", lambda m: m.generate(2, temprature=1.0), "temperature"),
    "CodePrior.loss_fn": ("prior", lambda m: m.loss_fn(batch=X, stop=1), "step"),
    "CodePrior.generate": ("prior", lambda m: m.generate(2, temprature=1.0), None),
    "VAE(config)": ("vae", lambda m: VAE(m.config, rngs=nnx.Rngs(0), precison=None), None),
    "hub.from_pretrained": ("vae", lambda _: hub.from_pretrained(VAE, ".", tokn="x"), None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_keywords_are_an_error_that_names_the_nearest(models, name):
    which, call, nearest = REFUSED[name]
    hint = f".*did you mean '{nearest}'" if nearest else ""
    hint = f".*{nearest[1:]}" if nearest and nearest[0] == "!" else hint
    with pytest.raises(TypeError, match=f"unexpected keyword argument{hint}"):
        call(models[which])


def test_what_a_loss_reads_is_accepted(models):
    losses = models["vae"].loss_fn(
        batch={"x": X}, rngs=nnx.Rngs(0), step=3, beta=2.0, kl_per_dimension=True
    )
    assert losses["kl_per_dimension"].shape == (4,)
