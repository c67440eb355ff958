"""Draws from p(x|z) by models: means plus the noise that the likelihood states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.core.likelihood_base import LocationScale
from workshop.generative_models.core.likelihoods import Gaussian, Likelihood
from workshop.generative_models.models.vae import VAE, VQVAE, ConditionalVAE

FEATURES = 40
ROWS = 100


class Encoder(nnx.Module):
    def __call__(self, x, condition=None):
        return 0.1 * x[:, :2], jnp.full((len(x), 2), -1.0)


class Decoder(nnx.Module):
    output_shape = (FEATURES,)

    def __init__(self):
        values = np.random.default_rng(0).normal(size=(2, FEATURES))
        self.weight = nnx.Param(jnp.asarray(values, jnp.float32))

    def __call__(self, z, condition=None):
        return z @ self.weight[...]


def models():
    rngs = nnx.Rngs(0)
    noise = {"likelihood": "gaussian", "scale": 0.3, "rngs": rngs}
    return {
        VAE: VAE(Encoder(), Decoder(), 2, **noise),
        ConditionalVAE: ConditionalVAE(Encoder(), Decoder(), 2, 3, **noise),
        VQVAE: VQVAE(Encoder(), Decoder(), 2, 8, 1, **noise),
    }


MODELS = models()
X = np.random.default_rng(1).normal(size=(ROWS, FEATURES)).astype(np.float32)


@pytest.mark.sampled
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("method", ["sample", "generate", "reconstruct"])
def test_the_noise_is_added_to_the_same_means(kind, method):
    model = MODELS[kind]
    y = {"y": np.arange(ROWS) % 3} if kind is ConditionalVAE else {}
    first = X if method == "reconstruct" else ROWS

    def made(**options):
        return np.asarray(getattr(model, method)(first, rngs=nnx.Rngs(7), **y, **options))

    noise = made(observation_noise=True) - made()
    # 4,000 numbers: the standard deviation's own is 0.3 / sqrt(8000), the mean's 0.3 / sqrt(4000).
    assert noise.std() == pytest.approx(0.3, abs=5 * 0.3 / np.sqrt(2 * noise.size))
    assert noise.mean() == pytest.approx(0, abs=5 * 0.3 / np.sqrt(noise.size))
    assert np.abs(np.corrcoef(noise)[np.triu_indices(ROWS, 1)]).max() < 5.5 / np.sqrt(FEATURES)


def test_one_example_is_drawn_as_one_example():
    assert MODELS[VAE].reconstruct(X[0], observation_noise=True).shape == (FEATURES,)


def test_bce_draws_zeros_and_ones_and_the_draws_average_to_the_means():
    model = VAE(Encoder(), Decoder(), 2, likelihood="bce", rngs=nnx.Rngs(0))
    x = np.broadcast_to(np.abs(X[:1]).clip(0, 1), (5000, FEATURES))
    means = model.reconstruct(x[0], deterministic=True)
    drawn = np.asarray(model.reconstruct(x, deterministic=True, observation_noise=True))
    assert set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(drawn.mean(0), means, atol=5 * 0.5 / np.sqrt(5000))


def test_categorical_draws_only_the_levels_of_its_data():
    # The example: means of data that is 0 or 1 lie in between, draws do not.
    class Levels(Decoder):
        def __call__(self, z, condition=None):
            sides = jnp.array([0.0, -50.0, -50.0, 0.0])
            return jnp.broadcast_to(sides, (len(z), FEATURES, 4))

    model = VAE(Encoder(), Levels(), 2, likelihood="categorical", levels=4, rngs=nnx.Rngs(0))
    assert np.all((np.asarray(model.sample(3)) > 0.4) & (np.asarray(model.sample(3)) < 0.6))
    drawn = np.asarray(model.sample(300, observation_noise=True))
    assert set(np.unique(drawn)) == {0, 1}
    assert drawn.mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(drawn.size))


def test_draws_are_of_the_key_and_the_same_when_compiled():
    model = MODELS[VAE]

    @jax.jit
    def draw(key):
        return model.sample(4, observation_noise=True, rngs=nnx.Rngs(key))

    key = jax.random.key(0)
    eager = model.sample(4, observation_noise=True, rngs=nnx.Rngs(key))
    np.testing.assert_allclose(draw(key), eager, rtol=1e-5, atol=1e-6)
    assert np.abs(draw(jax.random.key(1)) - eager).max() > 0.1


@pytest.mark.slow
def test_completed_codes_are_decoded_with_or_without_noise():
    model = nnx.clone(MODELS[VQVAE])
    config = PriorConfig(layers=1, width=8, heads=2)
    known = np.array([True, False])
    with pytest.raises(ValueError, match="complete draws codes from a prior"):
        model.complete(np.array([3, 0]), known)
    model.prior = model.new_prior(config, rngs=nnx.Rngs(0))
    model.prior.eval()
    codes = model.prior.complete(np.array([[3, 0]] * 5), known, rngs=nnx.Rngs(1))
    means = model.complete(np.array([[3, 0]] * 5), known, rngs=nnx.Rngs(1))
    np.testing.assert_allclose(means, model.decode_indices(codes), atol=1e-6)
    drawn = model.complete(np.array([[3, 0]] * 5), known, rngs=nnx.Rngs(1), observation_noise=True)
    assert (drawn - means).std() == pytest.approx(0.3, abs=5 * 0.3 / np.sqrt(2 * means.size))
    assert model.complete(np.array([3, 0]), known).shape == (FEATURES,)


@pytest.mark.parametrize("name", ["top_k", "top_p"])
def test_only_a_prior_chooses_among_the_most_probable(name):
    with pytest.raises(ValueError, match=f"{name} is what a prior reads"):
        MODELS[VQVAE].sample(2, **{name: 1})


class Own(Likelihood):
    def mean(self, logits):
        return logits

    def log_prob(self, parameter, x):
        return -jnp.abs(x - parameter).sum(-1)


class Clipped(Gaussian):
    """Its draws would be those of a plain Gaussian."""

    def log_prob(self, parameter, x):
        return super().log_prob(parameter, x.clip(0, 1))


class Bare(LocationScale):
    def log_prob(self, parameter, x):
        return -jnp.abs(x - parameter).sum(-1)


class Shifted(Clipped):
    def sample(self, parameter, key):
        return parameter + 5


def test_a_density_of_ones_own_is_not_drawn_from_by_its_base_class():
    for likelihood in (Clipped(0.1), Bare(0.1), Own()):
        model = VAE(Encoder(), Decoder(), 2, likelihood=likelihood, rngs=nnx.Rngs(0))
        name = type(likelihood).__name__
        with pytest.raises(ValueError, match=rf"{name} defines log_prob and no sample"):
            model.sample(2, observation_noise=True)
    model = VAE(Encoder(), Decoder(), 2, likelihood=Shifted(0.1), rngs=nnx.Rngs(0))
    means, drawn = (model.sample(2, rngs=nnx.Rngs(0), observation_noise=o) for o in (False, True))
    np.testing.assert_allclose(drawn, means + 5, atol=1e-6)


def test_what_cannot_be_drawn_is_refused():
    own = VAE(Encoder(), Decoder(), 2, likelihood=Own(), rngs=nnx.Rngs(0))
    moving = VAE(Encoder(), Decoder(), 2, likelihood="gaussian", scale="optimal", rngs=nnx.Rngs(0))
    for model, message in ((own, "Own defines log_prob and no sample"), (moving, "fix_scale")):
        assert model.sample(2).shape == (2, FEATURES)
        with pytest.raises(ValueError, match=message):
            model.sample(2, observation_noise=True)
        with pytest.raises(ValueError, match=message):
            model.reconstruct(X, observation_noise=True)
