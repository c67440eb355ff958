"""Where training begins: the decoder at the data's mean, so that no link saturates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.likelihoods import SquaredError, create_likelihood
from workshop.generative_models.core.moments import moments_of
from workshop.generative_models.data import Split
from workshop.generative_models.evaluation.samples.dependence import NEGLIGIBLE, dependence_of
from workshop.generative_models.models.vae import (
    VAE,
    VQVAE,
    CNNDecoder,
    CNNEncoder,
    MLPDecoder,
    MLPEncoder,
    ResNetDecoder,
)
from workshop.generative_models.training import Trainer, create_optimizer

RNG = np.random.default_rng(0)
SHAPE = (6, 5, 2)
X = RNG.random((40, *SHAPE), np.float32) * [0.1, 0.9]
"""Images with a dark and a bright channel."""
MOMENTS = moments_of([X])


def decoder_of(kind, **options):
    return kind([8], SHAPE, 3, "relu", rngs=nnx.Rngs(0), **options)


def model_of(decoder, **options):
    encoder = MLPEncoder([4], 3, "relu", SHAPE, rngs=nnx.Rngs(0))
    return VAE(encoder, decoder, 3, rngs=nnx.Rngs(0), **options)


def last_bias(decoder):
    layer = decoder.output_layer if isinstance(decoder, MLPDecoder) else decoder.output_conv
    return np.asarray(layer.bias[...])


def mean_of(family, mean):
    """Return the mean that a family's initial output stands for."""
    return family.mean(jnp.asarray(family.initial_output(mean), jnp.float32)[None])[0]


@pytest.mark.parametrize("likelihood", ["mse", "gaussian", "laplace", "discretized_logistic"])
@pytest.mark.parametrize("link", ["sigmoid", "tanh", "identity"])
def test_a_mean_comes_back_through_the_link(likelihood, link):
    functions = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}
    family = create_likelihood(
        likelihood, **({"link": functions[link]} if link in functions else {})
    )
    mean = np.array([0.02, 0.3, 0.5, 0.97])
    np.testing.assert_allclose(mean_of(family, mean), mean, rtol=1e-5)


def test_means_at_the_bounds_of_a_link_are_held_off_them():
    family = SquaredError(jax.nn.sigmoid)
    found = mean_of(family, np.array([0.0, 1e-9, 1.0, -0.1, 7.0]))
    np.testing.assert_allclose(found, [0.01, 0.01, 0.99, 0.01, 0.99], rtol=1e-5)
    family = SquaredError(jnp.tanh)
    found = mean_of(family, np.array([-1.0, 1.0]))
    np.testing.assert_allclose(found, [-0.99, 0.99], rtol=1e-5)


def test_links_that_are_not_known_and_logits_are_left_at_zero():
    """The gradient of logits is x - E[x|z] wherever they are."""
    assert SquaredError(lambda x: x**2).initial_output(np.ones(3)) is None
    for name in ("bce", "continuous_bernoulli", "categorical"):
        assert create_likelihood(name).initial_output(np.ones(3)) is None


@pytest.mark.parametrize("kind", [MLPDecoder, CNNDecoder, ResNetDecoder])
def test_a_decoder_begins_at_the_mean_of_its_features(kind):
    """Of each pixel if it is dense, of each channel if it is a convolution."""
    model = model_of(decoder_of(kind))
    before = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    model.initialize(MOMENTS)
    mean = X.astype(np.float64).mean(0)
    expected = mean.reshape(-1) if kind is MLPDecoder else mean.mean((0, 1))
    expected = np.clip(expected, 0.01, 0.99)
    np.testing.assert_allclose(1 / (1 + np.exp(-last_bias(model.decoder))), expected, rtol=1e-4)
    after = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    changed = [
        jax.tree_util.keystr(path)
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True
        )
        if (np.asarray(a) != np.asarray(b)).any()
    ]
    assert len(changed) == 1
    assert "output_" in changed[0]


def test_what_was_trained_or_set_stays():
    model = model_of(decoder_of(MLPDecoder))
    model.decoder.output_layer.bias[...] = jnp.zeros(60).at[3].set(0.5)
    model.initialize(MOMENTS)
    assert last_bias(model.decoder).tolist() == [0.5 if i == 3 else 0.0 for i in range(60)]


def test_networks_of_ones_own_stay_as_they_are():
    class Own(nnx.Module):
        output_shape, output_activation = SHAPE, jax.nn.sigmoid

        def __init__(self):
            self.output_layer = nnx.Linear(3, 60, rngs=nnx.Rngs(0))

        def __call__(self, z):
            return self.output_layer(z).reshape(-1, *SHAPE)

    model = model_of(Own())
    model.initialize(MOMENTS)
    assert not model.decoder.output_layer.bias[...].any()


@pytest.fixture(scope="module")
def sparse():
    """Black images with one bright pixel each."""
    x = np.zeros((256, 64), np.float32)
    x[np.arange(256), RNG.integers(0, 64, 256)] = 1
    return x.reshape(256, 8, 8, 1)


@pytest.mark.slow
@pytest.mark.parametrize("from_data", [False, True])
def test_a_vq_vae_sticks_at_black_unless_it_begins_at_the_mean(sparse, from_data, monkeypatch):
    if not from_data:
        monkeypatch.setattr(VAE, "initialize", lambda *_: None)
    rngs = nnx.Rngs(0)
    networks = (
        CNNEncoder([8, 8], 4, "relu", (8, 8, 1), rngs=rngs),
        CNNDecoder([8, 8], (8, 8, 1), 4, "relu", rngs=rngs),
    )
    model = VQVAE(*networks, 4, 16, 4, rngs=rngs)
    trainer = Trainer(model, create_optimizer("adam", 0.01), batch_size=32, progress=False)
    trainer.fit(sparse, steps=300)
    found = dependence_of(model, Split(sparse))
    print(found)
    stuck = found["reconstruction_variance"].value < NEGLIGIBLE
    assert stuck == (not from_data)
