"""`standardize=True`: the networks see standardised data, everybody else the data's own units."""

import logging
import re

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from flax import nnx

import workshop
from workshop.generative_models.core.moments import moments_of
from workshop.generative_models.evaluation import bounds
from workshop.generative_models.models.vae import MODELS
from workshop.generative_models.training import Trainer

RNG = np.random.default_rng(3)
CENTRE, SPREAD = np.array([5.0, -800.0, 0.0]), np.array([1.0, 16.0, 2.0**-10])
X = (CENTRE + SPREAD * RNG.normal(size=(64, 3))).astype(np.float32)
MOMENTS = moments_of([X])
U = ((X - MOMENTS.mean) / MOMENTS.spread).astype(np.float32)
LOG_JACOBIAN = np.log(MOMENTS.spread).sum()
NAMES = ["vae", "beta-vae", "beta-vae-capacity", "conditional-vae", "vq-vae"]
NOISE = "reconstruction_loss_type"


def fields_of(name, family="gaussian", **more):
    key = NOISE if name.startswith("beta") else "likelihood"
    return {"event": (3,), "decoder": {"output_activation": "identity"}, key: family, **more}


@pytest.fixture(params=NAMES)
def pair(request, make_model):
    """A model of the data's own units, and the same weights in a model of standardised data."""
    fields = fields_of(request.param, scale="per_feature")
    own = make_model(request.param, standardize=True, **fields)
    own.initialize(MOMENTS)
    plain = make_model(request.param, **fields)
    plain.likelihood.log_scale[...] = own.likelihood.log_scale[...]
    assert (own.standardize, plain.standardize) == (True, False)
    return own, plain


def in_units(u):
    return MOMENTS.mean + MOMENTS.spread * np.asarray(u, np.float64)


def close(found, u):
    # float32 resolves the second column, 800 ± 16, to 800 / 16 eps.
    error = (np.asarray(found, np.float64) - in_units(u)) / MOMENTS.spread
    np.testing.assert_allclose(error, 0, atol=2e-4)


@pytest.mark.sampled
def test_inputs_and_outputs_are_in_the_units_of_the_data(pair):
    own, plain = pair
    for found, expected in zip(own.encode(X), plain.encode(U), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-4)
    z = plain.encode(U)[0][:5]
    close(own.decode(z), plain.decode(z))
    close(own.reconstruct(X, deterministic=True), plain.reconstruct(U, deterministic=True))
    close(own.interpolate(X[0], X[1], 3), plain.interpolate(U[0], U[1], 3))
    close(own.latent_traversal(X[0], 1, steps=3), plain.latent_traversal(U[0], 1, steps=3))
    close(own.sample(4, rngs=nnx.Rngs(0)), plain.sample(4, rngs=nnx.Rngs(0)))


@pytest.mark.sampled
def test_the_density_is_one_of_the_data_itself(pair):
    own, plain = pair
    found, expected = (m.loss_fn(None, x, jax.random.key(0)) for m, x in ((own, X), (plain, U)))
    assert found["kl_loss"] == pytest.approx(float(expected["kl_loss"]), rel=1e-3)
    reconstruction = float(expected["reconstruction_loss"]) + LOG_JACOBIAN
    assert found["reconstruction_loss"] == pytest.approx(reconstruction, rel=1e-3)
    bound = bounds.elbo(plain, U, samples=2) - LOG_JACOBIAN
    np.testing.assert_allclose(bounds.elbo(own, X, samples=2), bound, rtol=2e-3, atol=2e-3)


@pytest.mark.sampled
def test_statistics_are_saved_with_the_weights(pair, tmp_path):
    own, _ = pair
    own.save_pretrained(tmp_path)
    again = workshop.load(tmp_path)
    np.testing.assert_array_equal(again.encode(X)[0], own.encode(X)[0])
    np.testing.assert_array_equal(
        again.reconstruct(X, deterministic=True), own.reconstruct(X, deterministic=True)
    )
    again.initialize(moments_of([X + 1]))  # of a model that has them, nothing changes
    np.testing.assert_array_equal(again.likelihood.units.mean[...], own.likelihood.units.mean[...])


@pytest.mark.slow
def test_the_best_fixed_scale_counts_in_standard_deviations(make_model):
    own = make_model("vae", standardize=True, scale="optimal", **fields_of("vae"))
    own.initialize(MOMENTS)
    plain = make_model("vae", scale="optimal", **fields_of("vae"))
    fixed, expected = bounds.fix_scale(own, X), bounds.fix_scale(plain, U)
    assert fixed.likelihood.scale == pytest.approx(expected.likelihood.scale, rel=1e-3)
    bound = bounds.elbo(expected, U) - LOG_JACOBIAN
    np.testing.assert_allclose(bounds.elbo(fixed, X), bound, rtol=2e-3, atol=2e-3)


@pytest.fixture
def trained(make_model):
    """Return what trains a small model on data for a few steps, and its bound on it."""

    def train(x, **fields):
        model = make_model("vae", **(fields_of("vae") | fields))
        Trainer(model, batch_size=32, progress=False).fit(x, steps=20)
        return model, float(bounds.elbo(model, np.asarray(x, np.float32)).mean())

    return train


@pytest.mark.sampled
@pytest.mark.parametrize("family", ["gaussian", "laplace"])
def test_data_in_other_units_gives_the_same_model_up_to_the_log_jacobian(trained, family):
    options = {"scale": "learned", "standardize": True, **fields_of("vae", family)}
    _, bound = trained(U, **options)
    for factor in (1e3, 1e-4, 1e12, 1e-30):
        model, found = trained(factor * np.float64(U), **options)
        assert found + 3 * np.log(factor) == pytest.approx(bound, abs=2e-3)
        np.testing.assert_allclose(model.likelihood.units.spread[...], factor, rtol=1e-5)


def test_without_it_a_decoder_begins_at_the_mean_and_a_scale_at_the_spread(make_model):
    model = make_model("vae", "cnn", **fields_of("vae", scale="per_feature") | {"event": (4, 4, 2)})
    x = (np.array([3.0, -70.0]) + RNG.normal(size=(50, 4, 4, 2))).astype(np.float32)
    model.initialize(moments_of([x]))
    bias = model.decoder.output_conv.bias[...]
    np.testing.assert_allclose(bias, x.mean((0, 1, 2)), rtol=1e-5)
    one = jnp.asarray(x[:1])
    np.testing.assert_allclose(model.likelihood.scale_of(one, one), x.std(0), rtol=1e-4)
    model.initialize(moments_of([x + 100]))  # no longer as it was made
    np.testing.assert_array_equal(model.decoder.output_conv.bias[...], bias)


@pytest.mark.slow
def test_a_run_that_fails_leaves_the_model_as_it_was(make_model, state_of):
    model = make_model("vae", standardize=True, **fields_of("vae", scale="learned"))
    model.encoder.mean_proj.bias[...] = jnp.full_like(model.encoder.mean_proj.bias[...], jnp.nan)
    before = state_of(model)
    with pytest.raises(FloatingPointError):
        Trainer(model, batch_size=8, progress=False).fit(X, steps=2)
    for a, b in zip(before, state_of(model), strict=True):
        np.testing.assert_array_equal(a, b)


class Frame:
    """Has the columns of a data frame."""

    columns = ("age", "income", "ratio")

    def __array__(self, dtype=None, copy=None):
        return X if dtype is None else X.astype(dtype)


@pytest.mark.parametrize(
    ("data", "fields", "expected"),
    [
        (X, {}, "2 of 3 features .* 1 \\(-79.* 2 \\(.* standardize=True .* StandardScaler"),
        (X, {"likelihood": "mse"}, "2 of 3 features"),
        ({"x": Frame()}, {}, "'income' \\(-79.*'ratio' \\("),
        (X, {"standardize": True}, None),
        (U, {}, None),
        (U * 1e-4, {}, "3 of 3"),
        (np.where(U > 0, 5.0, 0.0) * [1, 0, 1], {}, None),  # a constant column is no trouble
    ],
)
def test_the_log_names_features_far_from_unit_scale(make_model, caplog, data, fields, expected):
    model = make_model("vae", **(fields_of("vae") | fields))
    with caplog.at_level(logging.WARNING, "workshop"):
        trainer = Trainer(model, batch_size=8, progress=False)
        trainer._initialize(
            trainer.model,  # what `fit` does before its first step
            {"x": np.asarray(data["x"] if isinstance(data, dict) else data)},
            getattr(data["x"], "columns", None) if isinstance(data, dict) else None,
        )
    if expected is None:
        assert not caplog.records
    else:
        assert re.search(expected, caplog.text.replace("\n", " "))


def test_misuse_is_refused(make_config, monkeypatch):
    identity = {"output_activation": "identity"}
    with pytest.raises(ValueError, match=r"standardize=True has no meaning.*'mse'.*'gaussian'"):
        make_config("vae", event=(3,), decoder=identity, standardize=True)
    with pytest.raises(ValueError, match=r"output_activation='sigmoid'.*must be 'identity'"):
        make_config("vae", event=(3,), likelihood="gaussian", standardize=True)
    config = make_config("vae", event=(3,), likelihood="gaussian")
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of the tests
    with pytest.raises(ValueError, match="standardize='no': expected True or False"):
        MODELS["vae"](
            make_config("vae", event=(3,), likelihood="gaussian", decoder=identity),
            standardize="no",
            rngs=nnx.Rngs(0),
        )
    with pytest.raises(ValueError, match="output_activation='identity'"):
        MODELS["vae"](config, standardize=True, rngs=nnx.Rngs(0))
