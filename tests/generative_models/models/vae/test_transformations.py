"""Models under jax.jit, jax.grad, jax.vmap and nnx.jit, and models shared by threads."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import PriorConfig, VQConfig
from workshop.generative_models.models.vae.prior import CodePrior

EVENT = (6,)
X = jnp.asarray(np.random.default_rng(0).random((2, *EVENT), np.float32))


@pytest.fixture(scope="module")
def models(make_model):
    small = {"event": EVENT, "hidden_dims": (3,)}
    random = VQConfig(temperature=1.0)
    return {
        "vae": make_model("vae", **small),
        "conditional-vae": make_model("conditional-vae", **small),
        "vq-vae": make_model("vq-vae", **small),
        "random-vq-vae": make_model("vq-vae", quantizer=random, **small),
        "prior": CodePrior(PriorConfig(layers=1, width=4, heads=1), (2,), 5, rngs=nnx.Rngs(0)),
    }


CODES = jnp.zeros((1, 2), jnp.int32)
STOCHASTIC = {
    "vae.__call__": ("vae", lambda m, **r: m(X, **r)["z"]),
    "vae.reconstruct": ("vae", lambda m, **r: m.reconstruct(X, **r)),
    "vae.sample": ("vae", lambda m, **r: m.sample(2, **r)),
    "vae.generate": ("vae", lambda m, **r: m.generate(2, **r)),
    "vae.reparameterize": ("vae", lambda m, **r: m.reparameterize(X, X, **r)),
    "vae.loss_fn": ("vae", lambda m, **r: m.loss_fn(x=X, **r)["total_loss"]),
    "conditional-vae.sample": ("conditional-vae", lambda m, **r: m.sample(2, **r)),
    "vq-vae.sample": ("vq-vae", lambda m, **r: m.sample(2, **r)),
    "random-vq-vae.quantize": (
        "random-vq-vae",
        lambda m, **r: m.quantize(jnp.ones((2, 4)), **r)[1]["encoding_indices"],
    ),
    "random-vq-vae.__call__": ("random-vq-vae", lambda m, **r: m(X, **r)["z"]),
    "prior.sample": ("prior", lambda m, **r: m.sample(2, **r)),
    "prior.__call__": ("prior", lambda m, **r: m(CODES, **r)["logits"]),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_stochastic_method_inside_a_transformation_needs_rngs(models, name):
    which, method = STOCHASTIC[name]
    model, key = models[which], jax.random.key(3)
    before = nnx.to_pure_dict(nnx.state(model, nnx.RngCount))
    for transform in (jax.jit, partial(jax.vmap, axis_size=1)):
        with pytest.raises(ValueError, match=r"rngs=None: .* inside jax.jit.*rngs=nnx.Rngs\(key\)"):
            transform(lambda: method(model))()
    assert nnx.to_pure_dict(nnx.state(model, nnx.RngCount)) == before
    # What the error suggests works.
    found = jax.eval_shape(lambda key: method(model, rngs=nnx.Rngs(key)), key)
    many = jax.eval_shape(
        jax.vmap(lambda key: method(model, rngs=nnx.Rngs(key))), jax.random.split(key, 2)
    )
    assert many.shape == (2, *found.shape)


@pytest.mark.parametrize("name", ["vae.reconstruct", "vq-vae.sample"])
def test_rngs_from_a_key_give_the_same_inside_as_outside(models, name):
    which, method = STOCHASTIC[name]
    key = jax.random.key(3)
    inside = jax.jit(lambda key: method(models[which], rngs=nnx.Rngs(key)))(key)
    outside = method(models[which], rngs=nnx.Rngs(key))
    np.testing.assert_allclose(inside, outside, rtol=1e-5, atol=1e-6)


def test_what_draws_nothing_works_under_every_transformation(models):
    model = models["vae"]
    expected = np.asarray(model.reconstruct(X, deterministic=True))
    deterministic = partial(model.reconstruct, deterministic=True)
    same = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    same(jax.jit(deterministic)(X), expected)
    same(jax.vmap(deterministic)(X), expected)
    gradient = jax.grad(lambda x: deterministic(x).sum())(X[0])
    step = jnp.zeros(EVENT).at[2].set(1e-2)
    slope = (deterministic(X[0] + step).sum() - deterministic(X[0] - step).sum()) / 2e-2
    np.testing.assert_allclose(gradient[2], slope, atol=1e-3)


def test_nnx_jit_advances_the_models_own_stream(models):
    model = nnx.clone(models["vae"])
    sample = nnx.jit(lambda m: m.sample(1))
    assert not np.array_equal(sample(model), sample(model))


def test_threads_that_share_a_model_draw_different_samples(models):
    model = nnx.clone(models["vae"])
    with ThreadPoolExecutor(8) as pool:
        samples = list(pool.map(lambda _: np.asarray(model.sample(1)).tobytes(), range(160)))
    assert len(set(samples)) == 160
