"""Large calls in chunks: the same numbers as one call, whatever the number of rows.

With 32 rows or more, convolutional, dense and residual networks of 28 x 28 images were also
bit-equal to one call; XLA promises no such thing, and with four rows rounds otherwise.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.models.vae import VAE, ConditionalVAE, chunks
from workshop.generative_models.models.vae.chunks import chunk_size, in_chunks, in_training

ROWS = 13
"""Of which chunks of four leave one."""
EVERY = [("vae", "cnn"), ("conditional-vae", "dense"), ("vq-vae", "dense")]


@pytest.fixture
def in_fours(monkeypatch):
    """Return what switches to chunks of four rows."""

    def switch():
        for name in ("LEAST", "MOST"):
            monkeypatch.setattr(chunks, name, 4)

    return switch


def data(rows=ROWS):
    return np.random.default_rng(0).random((rows, 9, 6, 2), np.float32)


def calls(model, x):
    """Return the results of every method that takes many rows."""
    y = {"y": np.arange(len(x)) % 3} if isinstance(model, ConditionalVAE) else {}
    z = np.random.default_rng(1).normal(size=(len(x), *model.latent_shape)).astype(np.float32)

    def keyed(method, *arguments, **more):
        return method(*arguments, rngs=nnx.Rngs(5), **more)

    found = {
        "encode": model.encode(x, **y),
        "decode": model.decode(z, **y),
        "reconstruct": keyed(model.reconstruct, x, **y),
        "deterministic": model.reconstruct(x, deterministic=True, **y),
        "sample": keyed(model.sample, len(x), **y),
        "drawn": keyed(model.sample, len(x), observation_noise=True, **y),
        "redrawn": keyed(model.reconstruct, x, observation_noise=True, **y),
    }
    if hasattr(model, "encode_indices"):
        found["indices"] = codes = model.encode_indices(x)
        found["images"] = model.decode_indices(codes)
        found["prior"] = model.prior.log_prob(codes)
    return found


def with_prior(model):
    model.eval()
    if hasattr(model, "encode_indices"):
        config = PriorConfig(layers=1, width=8, heads=2)
        model.prior = model.new_prior(config, rngs=nnx.Rngs(0))
        model.prior.eval()
    return model


@pytest.mark.sampled
@pytest.mark.parametrize(("name", "network"), EVERY)
def test_chunks_change_no_result(make_model, in_fours, name, network):
    model = with_prior(make_model(name, network))
    whole = calls(model, data())
    in_fours()
    # XLA rounds sums otherwise for few rows; 0 and 1 of draws and codes have nothing to round.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        calls(model, data()),
        whole,
    )


def test_a_row_does_not_depend_on_how_many_there_are(make_model, in_fours):
    model = make_model("vae", "dense")
    model.eval()
    in_fours()
    every = model.encode(data())[0], model.decode(model.encode(data())[0])
    for rows in (5, 8, 12):
        some = model.encode(data()[:rows])[0]
        np.testing.assert_array_equal(some, every[0][:rows])
        np.testing.assert_array_equal(model.decode(some), every[1][:rows])


class Norm(nnx.Module):
    """A network whose rows depend on one another while it trains."""

    output_shape = (6,)

    def __init__(self, features, out):
        self.norm = nnx.BatchNorm(features, rngs=nnx.Rngs(0))
        self.layer = nnx.Linear(features, out, rngs=nnx.Rngs(1))
        self.calls = 0

    def __call__(self, x, condition=None):
        self.calls += 1
        x = self.layer(self.norm(x))
        shift = 0 if condition is None else condition["age"][:, None] + condition["site"]
        return x + shift


class Pair(Norm):
    def __call__(self, x, condition=None):
        out = super().__call__(x, condition)
        return out, jnp.zeros_like(out)


def test_batch_statistics_see_the_whole_batch(in_fours):
    model = VAE(Pair(6, 2), Norm(2, 6), 2, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(3, 2, (ROWS, 6)).astype(np.float32)
    in_fours()
    assert in_training(model.encoder)
    model.encode(x)
    assert model.encoder.calls == 1
    # Flax's moving mean takes in a hundredth of the batch's.
    np.testing.assert_allclose(model.encoder.norm.mean[...], 0.01 * x.mean(0), rtol=1e-5)
    model.eval()
    assert not in_training(model.encoder)
    model.encode(x)
    assert model.encoder.calls == 1 + 4


def test_conditions_of_ones_own_are_split_with_the_rows(in_fours):
    model = ConditionalVAE(Pair(6, 2), Norm(2, 6), 2, rngs=nnx.Rngs(0))
    model.eval()
    x = np.random.default_rng(0).normal(size=(ROWS, 6)).astype(np.float32)
    y = {"age": jnp.arange(ROWS, dtype=jnp.float32), "site": jnp.float32(3.0)}
    whole = model.encode(x, y), model.decode(x[:, :2], y)
    in_fours()
    part = model.encode(x, y), model.decode(x[:, :2], y)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), part, whole)


def test_compiled_functions_have_no_chunks(make_model, in_fours):
    model = make_model("vae", "dense")
    in_fours()
    x = jnp.asarray(data())
    traced = jax.make_jaxpr(lambda x: model.encode(x)[0])(x)
    assert "concatenate" not in str(traced)
    compiled = nnx.jit(lambda m, x: m.reconstruct(x, deterministic=True))(model, x)
    np.testing.assert_allclose(compiled, model.reconstruct(x, deterministic=True), atol=1e-6)


def test_the_number_of_rows_follows_from_their_bytes():
    assert chunk_size((28, 28, 1), (16,)) == 256  # 334 would fit; a power of two
    assert chunk_size((28, 28, 256)) == chunks.LEAST
    assert chunk_size((1,)) == chunks.MOST


def test_chunks_take_every_row_once():
    for n in range(1, 12):
        rows = jnp.arange(n)
        seen = []

        def double(rows, shared, seen=seen):
            seen.append(len(rows))
            return {"twice": 2 * rows + shared}

        found = in_chunks(double, rows, jnp.int32(1), size=4)
        np.testing.assert_array_equal(found["twice"], 2 * np.arange(n) + 1)
        assert seen == ([n] if n <= 4 else [4] * -(-n // 4))
