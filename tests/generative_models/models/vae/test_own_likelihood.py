"""A likelihood of one's own in a model: used everywhere, never lost in a file."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from workshop.generative_models.core.configuration import (
    DecoderConfig,
    EncoderConfig,
    PriorConfig,
    VAEConfig,
)
from workshop.generative_models.core.likelihood_base import (
    LocationScale,
    SquaredError,
    sum_features,
)
from workshop.generative_models.core.likelihoods import create_likelihood
from workshop.generative_models.models.code_prior import save_prior
from workshop.generative_models.models.saving import (
    load_model,
    load_weights,
    save_config,
    save_weights,
)
from workshop.generative_models.models.vae import (
    VAE,
    VQVAE,
    BetaVAE,
    BetaVAEWithCapacity,
    ConditionalVAE,
    MLPDecoder,
    MLPEncoder,
)

X = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
CONFIG = VAEConfig(
    encoder=EncoderConfig(hidden_dims=(4,), latent_dim=4, input_shape=(6,)),
    decoder=DecoderConfig(
        hidden_dims=(4,), latent_dim=4, output_shape=(6,), output_activation="identity"
    ),
)


class StudentT(LocationScale):
    """Student's t with four degrees of freedom around the mean."""

    def log_prob(self, parameter, x):
        return sum_features(
            jax.scipy.stats.t.logpdf(x, 4.0, parameter, self.scale_of(parameter, x))
        )


def parts():
    rngs = nnx.Rngs(0)
    decoder = MLPDecoder([4], (6,), 4, output_activation="identity", rngs=rngs)
    return MLPEncoder([4], 4, "relu", (6,), rngs=rngs), decoder, 4


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (VAE, {}),
        (BetaVAE, {}),
        (BetaVAEWithCapacity, {}),
        (ConditionalVAE, {"condition_dim": 3}),
        (VQVAE, {"embedding_dim": 2}),
    ],
)
def test_a_likelihood_of_ones_own_is_what_the_loss_and_scores_read(kind, more):
    name = "reconstruction_loss_type" if issubclass(kind, BetaVAE) else "likelihood"
    model = kind(*parts(), **{name: StudentT(0.7)}, rngs=nnx.Rngs(0), **more)
    assert isinstance(model.likelihood, StudentT)
    assert not isinstance(getattr(model, "reconstruction_loss_type", ""), StudentT)
    outputs = model(X, rngs=nnx.Rngs(1))
    expected = stats.t(4.0, np.asarray(outputs["reconstructed"], np.float64), 0.7).logpdf(X)
    losses = model.loss_fn(x=X, outputs=outputs)
    # Six terms of float32 in each of five rows.
    assert float(losses["reconstruction_loss"]) == pytest.approx(-expected.sum(1).mean(), rel=1e-5)
    condition = {"y": np.zeros(5, int)} if kind is ConditionalVAE else {}
    z = jnp.zeros((5, 4))
    means = np.asarray(model.decode(z, **condition), np.float64)
    np.testing.assert_allclose(
        model.conditional_log_prob(X, z, **condition),
        stats.t(4.0, means, 0.7).logpdf(X).sum(1),
        rtol=1e-5,
    )


@pytest.mark.slow
def test_its_own_scale_is_trained():
    model = VAE(*parts(), likelihood=StudentT("learned"), rngs=nnx.Rngs(0))
    gradient = jax.grad(lambda p: model.loss_fn(p, X, jax.random.key(0))["loss"])(
        nnx.state(model, nnx.Param)
    )
    assert float(np.abs(gradient["likelihood"]["log_scale"][...])) > 1e-3


def test_scale_and_levels_are_the_likelihoods_own():
    for name, value in (("scale", 0.5), ("levels", 16)):
        with pytest.raises(ValueError, match=f"{name}={value} beside a StudentT of your own"):
            VAE(*parts(), likelihood=StudentT(1.0), rngs=nnx.Rngs(0), **{name: value})


def test_its_link_is_the_decoders_activation():
    encoder, _, size = parts()
    decoder = MLPDecoder([4], (6,), 4, output_activation="sigmoid", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"another link than the decoder's output_activation"):
        VAE(encoder, decoder, size, likelihood=StudentT(1.0), rngs=nnx.Rngs(0))
    model = VAE(encoder, decoder, size, likelihood=StudentT(1.0, jax.nn.sigmoid), rngs=nnx.Rngs(0))
    means = np.asarray(model.decode(jnp.full((1, 4), 3.0)))
    assert ((means > 0) & (means < 1)).all()


def test_no_file_says_another_likelihood_than_the_model_has(tmp_path):
    beside = VAE(CONFIG, likelihood=StudentT(1.0), rngs=nnx.Rngs(0))
    assert beside.config is None
    with pytest.raises(ValueError, match="built from modules, so nothing on disk could rebuild"):
        save_config(beside, tmp_path)
    gaussian = CONFIG.model_copy(update={"likelihood": "gaussian", "scale": 0.5})
    for config, other in (
        (CONFIG, StudentT(1.0)),
        (gaussian, create_likelihood("gaussian", scale=0.1)),
        (gaussian, create_likelihood("gaussian", scale="learned")),
        (CONFIG, SquaredError(jax.nn.sigmoid)),
    ):
        replaced = VAE(config, rngs=nnx.Rngs(0))
        replaced.likelihood = other
        with pytest.raises(ValueError, match=r"this model's likelihood, a .* is not that of its"):
            save_config(replaced, tmp_path)
    assert not list(tmp_path.iterdir())
    same = VAE(gaussian, rngs=nnx.Rngs(0))
    same.likelihood = create_likelihood("gaussian", scale=0.5)
    save_config(same, tmp_path)


def test_weights_fill_a_model_that_one_builds_oneself(tmp_path):
    model = VAE(*parts(), likelihood=StudentT("learned"), rngs=nnx.Rngs(0))
    model.likelihood.log_scale[...] = 0.3
    save_weights(model, tmp_path)
    other = VAE(CONFIG, likelihood=StudentT("learned"), rngs=nnx.Rngs(1))
    before = np.asarray(other.encode(X)[0])
    load_weights(other, tmp_path)
    np.testing.assert_array_equal(other.encode(X)[0], model.encode(X)[0])
    assert (np.asarray(model.encode(X)[0]) != before).any()
    assert float(other.likelihood.log_scale[...]) == np.float32(0.3)
    plain = VAE(CONFIG, rngs=nnx.Rngs(1))
    kept = np.asarray(plain.encode(X)[0])
    with pytest.raises(ValueError, match=r"does not fit its model: likelihood\.log_scale is in"):
        load_weights(plain, tmp_path)
    np.testing.assert_array_equal(plain.encode(X)[0], kept)
    with pytest.raises(ValueError, match="there is no such folder"):
        load_weights(plain, tmp_path / "nothing")
    waits = VAE(MLPEncoder([4], 4, "relu", rngs=nnx.Rngs(0)), *parts()[1:], rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="has no weights yet"):
        load_weights(waits, tmp_path)
    save_config(plain, tmp_path)
    with pytest.raises(ValueError, match=r"does not fit its config\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize(("link", "inside"), [("sigmoid", [0, 1]), ("tanh", [-1, 1])])
def test_data_that_no_mean_can_reach_is_said_once_for_each_model(link, inside, monkeypatch):
    said = []
    monkeypatch.setattr(
        logging.getLogger("workshop"), "warning", lambda text, *values: said.append(text % values)
    )
    encoder, _, latent_dim = parts()
    decoder = MLPDecoder([4], (6,), 4, output_activation=link, rngs=nnx.Rngs(0))
    model = VAE(encoder, decoder, latent_dim, likelihood="gaussian", rngs=nnx.Rngs(0))
    model.check_data(np.tile(np.float32(inside), (2, 3)) * np.float32(1.00001))
    assert not said
    for batch in (X, 2 * X):
        model.check_data(batch)
    second = VAE(encoder, decoder, latent_dim, likelihood="gaussian", rngs=nnx.Rngs(0))
    second.check_data(X)
    message, again = said
    assert message == again
    assert f"a decoder with output_activation='{link}' cannot reach" in message
    assert "'identity'" in message


@pytest.mark.slow
def test_a_vq_vae_gets_the_folders_prior_or_none(tmp_path):
    config = PriorConfig(layers=1, width=8, heads=2)
    model, other = (
        VQVAE(
            *parts(), num_embeddings=5, embedding_dim=2, likelihood=StudentT(1.0), rngs=nnx.Rngs(i)
        )
        for i in (0, 1)
    )
    model.prior = model.new_prior(config, rngs=nnx.Rngs(2))
    model.prior.eval()
    save_weights(model, tmp_path)
    save_prior(model, tmp_path)
    load_weights(other, tmp_path)
    codes = model.encode_indices(X)
    np.testing.assert_array_equal(other.prior.log_prob(codes), model.prior.log_prob(codes))
    (tmp_path / "prior.safetensors").unlink()
    load_weights(other, tmp_path)
    assert other.prior is None
