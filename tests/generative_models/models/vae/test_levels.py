"""Models of data with a few levels: what the decoder gives, what is refused, what is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special, stats

from workshop.generative_models.core.configuration import MODEL_CONFIGS
from workshop.generative_models.models.saving import load_model, save_config, save_weights
from workshop.generative_models.models.vae import (
    MODELS,
    VAE,
    CNNDecoder,
    CNNEncoder,
    ConditionalDecoder,
    ConditionalVAE,
    MLPDecoder,
    MLPEncoder,
)

LEVELS = 5
EVENT = (9, 6, 2)
K = np.random.default_rng(2).integers(0, LEVELS, (3, *EVENT))
X = jnp.asarray(K / (LEVELS - 1), jnp.float32)
CASES = [(name, "dense") for name in MODELS]
CASES += [("vae", "resnet"), ("vq-vae", "cnn"), ("conditional-vae", "cnn")]
every_case = pytest.mark.parametrize(("name", "network"), CASES, ids=map("-".join, CASES))


def fields(name, likelihood, **more):
    field = "reconstruction_loss_type" if name.startswith("beta") else "likelihood"
    return {field: likelihood, "levels": LEVELS, **more}


@pytest.mark.sampled
@every_case
def test_a_categorical_model(make_model, name, network):
    model = make_model(name, network, **fields(name, "categorical"))
    outputs = model(X, rngs=nnx.Rngs(0))
    assert outputs["logits"].shape == (*X.shape, LEVELS)
    assert model.event_shape == EVENT
    # E[x|z] and log p(x|z), by NumPy from the logits.
    log_p = special.log_softmax(np.float64(outputs["logits"]), axis=-1)
    mean = (np.exp(log_p) * np.linspace(0, 1, LEVELS)).sum(-1)
    np.testing.assert_allclose(outputs["reconstructed"], mean, atol=3e-7)
    expected = np.take_along_axis(log_p, K[..., None], -1)[..., 0].sum((1, 2, 3))
    np.testing.assert_allclose(model.log_likelihood(X, outputs), expected, rtol=1e-6)
    losses = model.loss_fn(x=X, outputs=outputs)
    np.testing.assert_allclose(losses["reconstruction_loss"], -expected.mean(), rtol=1e-6)
    z = outputs["z"]
    np.testing.assert_allclose(model.conditional_log_prob(X, z), expected, rtol=1e-6)
    np.testing.assert_array_equal(model.decode(z), outputs["reconstructed"])

    # One example, and every use.
    single = model(X[0], rngs=nnx.Rngs(0))
    assert single["logits"].shape == (*EVENT, LEVELS)
    one = model.loss_fn(x=X[0], outputs=single)["loss"]
    assert one == model.loss_fn(x=X[:1], outputs=model(X[:1], rngs=nnx.Rngs(0)))["loss"]
    np.testing.assert_array_equal(model.decode(z[0]), model.decode(z[:1])[0])
    assert model.sample(2).shape == model.interpolate(X[0], X[1], steps=2).shape == (2, *EVENT)
    assert model.latent_traversal(X[0], 1, steps=2).shape == (2, *EVENT)
    assert model.reconstruct(X[0]).shape == EVENT


@pytest.mark.sampled
@every_case
def test_a_model_of_levels_is_saved_and_rebuilt(make_model, tmp_path, name, network):
    model = make_model(name, network, **fields(name, "categorical"))
    config = model.config
    assert MODEL_CONFIGS[name].model_validate_json(config.model_dump_json()) == config
    save_config(model, tmp_path)
    save_weights(model, tmp_path)
    again = load_model(tmp_path)
    assert again.likelihood.levels == LEVELS
    assert nnx.graphdef(again.decoder) == nnx.graphdef(model.decoder)
    np.testing.assert_array_equal(
        again.reconstruct(X, deterministic=True), model.reconstruct(X, deterministic=True)
    )


@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_with_a_discretized_logistic(make_model, name):
    model = make_model(name, **fields(name, "discretized_logistic", scale=0.3))
    outputs = model(X, rngs=nnx.Rngs(0))
    mean = np.float64(outputs["reconstructed"])
    np.testing.assert_allclose(mean, special.expit(np.float64(outputs["logits"])), rtol=1e-6)
    step = 1 / (LEVELS - 1)
    upper, lower = (stats.logistic.cdf(K * step + h, mean, 0.3) for h in (step / 2, -step / 2))
    p = np.where(K == LEVELS - 1, 1, upper) - np.where(K == 0, 0, lower)
    expected = np.log(p).sum((1, 2, 3))
    np.testing.assert_allclose(model.log_likelihood(X, outputs), expected, rtol=2e-6)


@pytest.mark.slow
def test_training_lowers_the_loss_of_both_below_what_no_model_reaches(make_model):
    """A data set of one image: its nats go to 0, below the log(5) a value of no knowledge.

    No floor of a density is in the way: the probabilities themselves become certain.
    """
    for likelihood, more in (("categorical", {}), ("discretized_logistic", {"scale": "learned"})):
        model = make_model("vae", **fields("vae", likelihood, **more), kl_weight=0.0)
        graph, params, rest = nnx.split(model, nnx.Param, ...)

        def loss(params, graph=graph, rest=rest):
            return nnx.merge(graph, params, rest, copy=True).loss_fn(
                None, X[:1], jax.random.key(0)
            )["reconstruction_loss"]

        def step(carry, _, loss=loss):
            params, m, v = carry  # Adam without its corrections: enough to go downhill
            value, slope = jax.value_and_grad(loss)(params)
            m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, slope)
            v = jax.tree.map(lambda a, g: 0.99 * a + 0.01 * g * g, v, slope)
            new = jax.tree.map(lambda p, a, b: p - 0.02 * a / (b**0.5 + 1e-8), params, m, v)
            return (new, m, v), value

        zeros = jax.tree.map(jnp.zeros_like, params)
        _, values = jax.jit(lambda p, z: jax.lax.scan(step, (p, z, z), length=400))(params, zeros)
        assert values[0] > 0.7 * 108 * np.log(LEVELS)
        assert values[-1] < 0.1 * 108 * np.log(LEVELS)


# Decoders.


def test_explicit_networks_give_the_same_model_as_a_configuration(make_config):
    config = make_config("vae", "cnn", **fields("vae", "categorical"))
    rngs = nnx.Rngs(0)
    decoder_fields = {"rngs": rngs, "activation": "tanh"}
    explicit = VAE(
        CNNEncoder([4, 8], 4, "tanh", EVENT, rngs=rngs),
        CNNDecoder([8, 4], EVENT, 4, **decoder_fields),
        4,
        likelihood="categorical",
        levels=LEVELS,
        kl_weight=0.5,
        rngs=rngs,
    )
    outputs = [m(X, rngs=nnx.Rngs(1)) for m in (VAE(config, rngs=nnx.Rngs(0)), explicit)]
    jax.tree.map(np.testing.assert_array_equal, *outputs)


def test_arguments_beside_a_configuration_win(make_config):
    config = make_config("vae")
    model = VAE(config, likelihood="categorical", levels=LEVELS, rngs=nnx.Rngs(0))
    assert model.config == make_config("vae", **fields("vae", "categorical"))
    assert model(X)["logits"].shape == (*X.shape, LEVELS)
    fewer = VAE(model.config, levels=2, rngs=nnx.Rngs(0))
    assert (fewer.config.levels, fewer.likelihood.levels) == (2, 2)
    assert fewer.decoder.output_layer.kernel.shape[-1] == 2 * 108


def networks(rngs):
    return MLPEncoder([4], 3, input_dim=6, rngs=rngs), MLPDecoder([4], 6, 3, rngs=rngs)


def test_the_last_layer_is_made_anew_in_a_copy_and_only_if_it_must():
    rngs = nnx.Rngs(0)
    encoder, decoder = networks(rngs)
    own = decoder.output_layer.kernel[...]
    plain = VAE(encoder, decoder, 3, rngs=rngs)
    assert plain.decoder is decoder
    more = {"likelihood": "categorical", "levels": 4}
    categorical = VAE(encoder, decoder, 3, rngs=rngs, **more)
    assert (decoder.parameters_per_value, categorical.decoder.parameters_per_value) == (1, 4)
    np.testing.assert_array_equal(decoder.output_layer.kernel[...], own)
    assert decoder(jnp.zeros((2, 3))).shape == (2, 6)
    assert categorical.decoder(jnp.zeros(3)).shape == (6, 4)
    # What is below keeps its weights; what fits comes back as it is, and back to a number a value.
    kernels = (d.backbone.layers[0].kernel[...] for d in (decoder, categorical.decoder))
    np.testing.assert_array_equal(*kernels)
    assert VAE(encoder, categorical.decoder, 3, rngs=None, **more).decoder is categorical.decoder
    back = VAE(encoder, categorical.decoder, 3, rngs=rngs)
    assert back(jnp.zeros((2, 6)))["logits"].shape == (2, 6)
    message = "the likelihood reads 4 numbers for each value and the decoder gives 1, but rngs=None"
    with pytest.raises(ValueError, match=message):
        VAE(encoder, decoder, 3, rngs=None, **more)


def test_numerics_reach_the_new_layer(make_model):
    for network in ("dense", "cnn"):
        both = {"dtype": "bfloat16", "precision": "highest"}
        decoder = make_model("vae", network, both=both, **fields("vae", "categorical")).decoder
        last = decoder.output_layer if network == "dense" else decoder.output_conv
        assert (last.dtype, last.precision) == ("bfloat16", "highest")
        assert {a.dtype for a in jax.tree.leaves(nnx.state(decoder))} == {jnp.dtype("float32")}


def test_a_wrapped_decoder_gives_logits_too():
    rngs = nnx.Rngs(0)
    encoder, decoder = networks(rngs)
    wrapped = ConditionalDecoder(decoder, 2, rngs=rngs)
    more = {"likelihood": "categorical", "levels": 4, "condition_dim": 2}
    model = ConditionalVAE(encoder, wrapped, 3, rngs=rngs, **more)
    assert (wrapped.parameters_per_value, model.decoder.parameters_per_value) == (1, 4)
    x = jnp.zeros((2, 6))
    assert model(x, y=1)["logits"].shape == (2, 6, 4)
    assert (model.decode(x[:, :3], y=0) != model.decode(x[:, :3], y=1)).any()


class Own(nnx.Module):
    """A decoder of one's own: logits of some shape, all from one number of z."""

    def __init__(self, *shape, output_shape=None):
        self.shape = shape
        if output_shape is not None:
            self.output_shape = output_shape

    def __call__(self, z):
        number = z[:, 0].reshape(-1, *(1,) * len(self.shape))
        return jnp.broadcast_to(number, (len(z), *self.shape))


def own(*shape, **more):
    rngs = nnx.Rngs(0)
    encoder = MLPEncoder([4], 3, input_dim=(6,), rngs=rngs)
    return VAE(encoder, Own(*shape, **more), 3, likelihood="categorical", levels=4, rngs=rngs)


def test_a_decoder_of_ones_own_gives_logits():
    x = jnp.asarray([[0, 1, 2, 3, 0, 1]] * 2) / 3
    for model in (own(6, 4), own(6, 4, output_shape=(6,))):
        # All logits are alike: log(4) for each of six values.
        assert -model.loss_fn(batch=x)["recon_loss"] == pytest.approx(-6 * np.log(4), rel=1e-6)
        np.testing.assert_allclose(model.decode(jnp.ones((2, 3))), 0.5, rtol=1e-6)
    wrapped = ConditionalVAE(
        MLPEncoder([4], 3, input_dim=(6,), rngs=nnx.Rngs(0)),
        ConditionalDecoder(Own(6, 4), 2, rngs=nnx.Rngs(0)),
        3,
        condition_dim=2,
        likelihood="categorical",
        levels=4,
        rngs=nnx.Rngs(0),
    )
    assert wrapped(x, y=0)["logits"].shape == (2, 6, 4)


@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 5), (4,), (24,), (4, 6), (1, 6, 4)])
def test_a_decoder_of_ones_own_that_gives_something_else(shape):
    model = own(*shape)
    message = r"it has shape \(2, .*, expected \(batch, 6, 4\), 4 logits for each value \(levels\)"
    for use in (model.decode, lambda z: model(jnp.zeros((2, 6)))):
        with pytest.raises(ValueError, match=message):
            use(jnp.ones((2, 3)))


def test_outputs_without_logits_or_of_another_batch(make_model):
    model = make_model("vae", **fields("vae", "categorical"))
    outputs = model(X)
    with pytest.raises(ValueError, match=r"outputs have shape \(3, .*x has shape \(2, "):
        model.loss_fn(x=X[:2], outputs=outputs)
    logits = outputs.pop("logits")
    with pytest.raises(ValueError, match="outputs lacks 'logits', which Categorical reads"):
        model.loss_fn(x=X, outputs=outputs)
    assert logits.ndim == 5


# Data.


@pytest.mark.parametrize("likelihood", ["categorical", "discretized_logistic"])
class TestData:
    def test_between_the_levels(self, make_model, likelihood):
        model = make_model("vae", **fields("vae", likelihood))
        message = r"x holds 0\.\d+, which is none of the values k / 4 that levels=5 stands for: "
        digits = np.random.default_rng(0).integers(0, 17, X.shape) / 16
        with pytest.raises(ValueError, match=message + "levels=17 fits this data"):
            model.loss_fn(batch=jnp.asarray(digits, jnp.float32))
        noise = np.random.default_rng(0).random(X.shape)
        for check in (model.check_data, lambda x: model.loss_fn(batch=x)):
            with pytest.raises(ValueError, match=message + "round the data to levels, or use"):
                check(np.float32(noise))
        with pytest.raises(ValueError, match=r"x lies in \[0, 4\]: .* data in \[0, 1\]; scale"):
            model.loss_fn(batch=4 * X)
        assert jnp.isfinite(model.loss_fn(batch=jnp.round(noise).astype(jnp.float32))["loss"])

    def test_on_the_levels(self, make_model, likelihood):
        for levels in (2, 3, 17, 256, 65536):
            field = {"levels": levels, "likelihood": likelihood}
            if likelihood == "categorical":
                field |= {"event": (2,)}
            model = make_model("vae", **field)
            k = np.random.default_rng(levels).integers(0, levels, (3, *model.event_shape))
            for x in (k / (levels - 1), np.float32(k) / np.float32(levels - 1)):
                model.check_data(x)
                model.check_data(np.float32(x))
                model.check_data(np.float32(2 * x - 1) / 2 + np.float32(0.5))

    def test_bytes(self, make_model, likelihood):
        pixels = np.random.default_rng(0).integers(0, 256, X.shape, np.uint8)
        make_model("vae", likelihood=likelihood, levels=256).check_data(pixels)
        five = make_model("vae", **fields("vae", likelihood))
        with pytest.raises(ValueError, match=r"k / 4 that levels=5 stands for: levels=256 fits"):
            five.check_data(pixels)
        five.check_data(np.where(pixels > 99, np.uint8(255), np.uint8(0)))
