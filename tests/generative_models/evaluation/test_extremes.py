"""No estimate is NaN for finite data: -inf, or the exact value where float32 can hold it."""

import json

import jax
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.data import Split
from workshop.generative_models.evaluation import bounds
from workshop.generative_models.evaluation.detection import detection
from workshop.generative_models.evaluation.estimates import Estimate, mean_of, mean_with_part
from workshop.generative_models.evaluation.latents import kl_decomposition
from workshop.generative_models.evaluation.outputs import posteriors, reconstructions
from workshop.generative_models.evaluation.sections.likelihood import beyond
from workshop.generative_models.models.vae import VAE, VQVAE, MLPDecoder, MLPEncoder
from workshop.generative_models.training import Trainer

FEATURES = 3
LARGEST = float(np.finfo(np.float32).max)
VALUES = (1e10, 1e20, 3e38, -3e38, LARGEST)
USUAL = np.random.default_rng(0).normal(size=(3, FEATURES)).astype(np.float32)
# One value alone, all of them, and mixtures whose sums overflow in both directions.
EXTREME = np.array(
    [[v, 0, 0] for v in VALUES]
    + [[v] * 3 for v in VALUES]
    + [[3e38, -3e38, 3e38], [-LARGEST, LARGEST, 1e20], [1e20, -1e20, 1.0]],
    np.float32,
)
X = np.concatenate([USUAL, EXTREME])
FAMILIES = ("gaussian", "laplace", "mse")


def networks(seed=0):
    rngs = nnx.Rngs(seed)
    encoder = MLPEncoder([8, 8], 2, "relu", (FEATURES,), rngs=rngs)
    decoder = MLPDecoder([8, 8], (FEATURES,), 2, output_activation="identity", rngs=rngs)
    return encoder, decoder, 2, rngs


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    encoder, decoder, latents, rngs = networks()
    return VAE(encoder, decoder, latents, likelihood=request.param, rngs=rngs)


def check(values, *, usual_only=False):
    """Finite for usual rows; of the others anything but NaN and +inf."""
    values = np.asarray(values)
    assert np.isfinite(values[: len(USUAL)]).all()
    if not usual_only:
        assert not np.isnan(values).any()
        assert (values[len(USUAL) :] < values[: len(USUAL)].min()).all()


@pytest.mark.sampled
def test_bounds(model):
    with np.errstate(all="raise"):
        for samples in (1, 10):
            check(bounds.elbo(model, X, samples=samples))
        found = bounds.importance_sampling(model, X, samples=10)
        check(found["bound"])
        assert not np.isnan(found["effective_samples"]).any()
        if type(model.likelihood).__name__ == "Gaussian":  # they differ in one function only
            check(bounds.annealed_importance_sampling(model, X, chains=4, steps=3))


def test_scores_find_the_most_unusual_row(model):
    score = -bounds.elbo(model, X, samples=10)
    threshold = score[: len(USUAL)].max()
    assert (score > threshold)[len(USUAL) :].all()
    found = detection(score[: len(USUAL)], score[len(USUAL) :])
    assert found["auroc"].value == found["average_precision"].value == 1


def test_posteriors_and_reconstructions(model):
    found = posteriors(model, Split(X))
    assert np.isfinite(found["mean"]).all()
    assert np.isfinite(found["log_var"]).all()
    np.testing.assert_allclose(found["mean"][:3], model.encode(USUAL)[0], rtol=1e-5, atol=1e-6)
    check(-reconstructions(model, Split(X))["loss"])
    for name, figure in kl_decomposition(**found).items():
        assert not np.isnan(figure.value), name


@pytest.mark.slow
def test_values_that_float32_holds_are_exact():
    """Of a decoder that gives its bias and an encoder that gives the prior: log p(x|z) itself."""
    encoder, decoder, latents, rngs = networks()
    for layer in (encoder.mean_proj, encoder.logvar_proj, decoder.output_layer):
        layer.kernel[...] = layer.kernel[...] * 0
    model = VAE(encoder, decoder, latents, likelihood="laplace", scale=10.0, rngs=rngs)
    x = np.array([[1e10, 0, 0], [1e20, 0, 0], [3e38, 0, 0], [1e20, -3e20, 0]], np.float32)
    exact = -np.abs(np.float64(x)).sum(1) / 10 - 3 * np.log(20)
    np.testing.assert_allclose(bounds.elbo(model, x, samples=7), exact, rtol=1e-5)
    annealed = bounds.annealed_importance_sampling(model, x, chains=2, steps=3)
    np.testing.assert_allclose(annealed, exact, rtol=1e-5)


def test_codes():
    encoder, decoder, latents, rngs = networks()
    model = VQVAE(encoder, decoder, latents, 4, 1, likelihood="gaussian", rngs=rngs)
    check(bounds.elbo(model, X))
    assert not np.isnan(posteriors(model, Split(X))["mean"]).any()


@pytest.mark.sampled
def test_the_trainers_metrics(model):
    metrics = Trainer(model, progress=False, batch_size=4).evaluate(X)
    assert metrics["elbo"] == -np.inf
    assert metrics["loss"] == np.inf
    assert not np.isnan(list(metrics.values())).any()
    one_batch = Trainer(model, progress=False, batch_size=3).evaluate(USUAL)
    assert np.isfinite(list(one_batch.values())).all()


def test_nan_in_data_is_no_overflow(model):
    found = posteriors(model, Split(np.where(X[0, 0] == X, np.nan, X).astype(np.float32)))
    assert np.isnan(found["mean"][0]).all()
    assert np.isfinite(found["mean"][1:]).all()
    with pytest.raises(ValueError, match="NaN"):
        bounds.elbo(model, np.full((2, FEATURES), np.nan))


@pytest.mark.parametrize("network", ["encoder", "decoder"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_is_not_finite_is_refused_and_not_measured(network, value):
    """NaN of the model's own must not pass for data that is far away, or for N(0, I)."""
    encoder, decoder, latents, rngs = networks()
    model = VAE(encoder, decoder, latents, likelihood="gaussian", rngs=rngs)
    bias = {"encoder": model.encoder.mean_proj, "decoder": model.decoder.output_layer}[network].bias
    bias[...] = bias[...].at[0].set(value)
    measures = (
        lambda: bounds.elbo(model, USUAL),
        lambda: bounds.importance_weighted_bound(model, USUAL, samples=2),
        lambda: posteriors(model, Split(USUAL)),
        lambda: reconstructions(model, Split(USUAL)),
        lambda: Trainer(model, progress=False).evaluate(USUAL),
    )
    for measure in measures:
        with pytest.raises(ValueError, match=f"model: {network}.*bias holds NaN or infinity"):
            measure()


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_an_infinite_divergence_of_weight_zero_adds_nothing(weight):
    encoder, decoder, latents, rngs = networks()
    model = VAE(encoder, decoder, latents, likelihood="gaussian", kl_weight=weight, rngs=rngs)
    usual = jax.numpy.asarray(USUAL[:1])
    outputs = {"mean": jax.numpy.full((1, 2), 1e30), "log_var": jax.numpy.zeros((1, 2))}
    outputs |= {"reconstructed": usual, "logits": usual}
    losses = model.loss_fn(x=USUAL[:1], outputs=outputs)
    assert losses["kl_loss"] == np.inf
    expected = losses["reconstruction_loss"] if weight == 0 else np.inf
    assert losses["total_loss"] == expected
    assert model.loss_fn(x=USUAL[:1], outputs=outputs, beta=0.0)["total_loss"] < np.inf


def test_means_with_infinite_values():
    with np.errstate(all="raise"):
        figure = mean_of([-1.0, -np.inf], "two rows", "nats")
        assert (figure.value, figure.standard_error) == (-np.inf, None)
        assert str(figure) == "-inf nats"
        written = json.dumps(figure.as_json(), allow_nan=False)
        assert Estimate.from_json(json.loads(written)) == figure
        elbo, bound = np.array([-5.0, -np.inf, -np.inf, -4.0]), np.array([-3.0, -9.0, -np.inf])
        every, extra = beyond(elbo, bound)
        assert every.tolist() == [-5, -9, -np.inf, -4]
        assert extra.tolist() == [2, 0, 0]
        assert mean_with_part(every, extra, "four").value == -np.inf
        assert mean_with_part(every[:2], extra[:2], "two").value == pytest.approx(-6)
