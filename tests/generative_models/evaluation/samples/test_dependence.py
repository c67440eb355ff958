"""Whether reconstructions depend on the input, against closed forms and models that are known."""

import jax.numpy as jnp
import numpy as np
import pytest
from exact_models import LinearGaussian
from flax import nnx

from workshop.generative_models.data import Split
from workshop.generative_models.evaluation import summary
from workshop.generative_models.evaluation.samples import (
    dependence_of,
    dependence_verdict,
    input_dependence,
)
from workshop.generative_models.evaluation.study import Settings, Study
from workshop.generative_models.models.vae import VAE, VQVAE, MLPDecoder, MLPEncoder

RNG = np.random.default_rng(0)
TRUTH = LinearGaussian()


def values(*arguments):
    found = input_dependence(*arguments)
    return found["reconstruction_variance"].value, found["explained_variance"].value


def test_both_shares_are_numpys():
    x = RNG.normal(size=(30, 4, 3, 1))
    made = 0.3 * x + RNG.normal(size=x.shape) + 2
    whole = x.var(0).sum()
    expected = made.var(0).sum() / whole, 1 - np.square(x - made).sum((1, 2, 3)).mean() / whole
    np.testing.assert_allclose(values(x, made), expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(20, 5), (20, 4, 3, 1)])
def test_known_cases(shape):
    x = RNG.normal(size=shape)
    mean = np.broadcast_to(x.mean(0), shape)
    np.testing.assert_allclose(values(x, x), (1, 1), rtol=1e-12)
    np.testing.assert_allclose(values(x, mean), (0, 0), atol=1e-12)
    # At a distance of one standard deviation from the mean the error is doubled.
    np.testing.assert_allclose(values(x, mean + x.std(0)), (0, -1), atol=1e-12)
    np.testing.assert_allclose(values(x, mean + (x - mean) / 2), (0.25, 0.75), rtol=1e-12)


def test_columns_count_alike_whatever_their_units_and_constant_ones_do_not_count():
    x = RNG.normal(size=(50, 2))
    made = np.stack([x[:, 0], np.full(50, x[:, 1].mean())], 1)
    np.testing.assert_allclose(values(x, made), (0.5, 0.5), rtol=1e-12)
    units = np.array([1e-3, 1e6])
    np.testing.assert_allclose(values(x * units, made * units), (0.5, 0.5), rtol=1e-6)
    constant = np.full((50, 1), 0.1)
    wide = [np.concatenate([a, constant], 1) for a in (x, made)]
    np.testing.assert_allclose(values(*wide), (0.5, 0.5), rtol=1e-12)


def test_what_a_model_is_told_beside_the_input_does_not_count():
    y = np.arange(40) % 4
    centres = RNG.normal(size=(4, 3))
    x = 10 * centres[y] + RNG.normal(size=(40, 3))
    by_class = np.stack([x[y == c].mean(0) for c in y])
    assert values(x, by_class)[0] > 0.9
    np.testing.assert_allclose(values(x, by_class, y), (0, 0), atol=1e-12)
    np.testing.assert_allclose(values(x, by_class, np.eye(4)[y]), (0, 0), atol=1e-12)
    np.testing.assert_allclose(values(x, x, y), (1, 1), rtol=1e-12)


def test_the_error_is_that_of_repetitions():
    drawn = []
    for _ in range(300):
        x = RNG.normal(size=(200, 2, 1, 1))
        drawn.append(input_dependence(x, 0.5 * x + 0.2 * RNG.normal(size=x.shape)))
    for name in drawn[0]:
        spread = np.std([d[name].value for d in drawn], ddof=1)
        told = np.mean([d[name].standard_error for d in drawn])
        # A standard deviation of 300 draws has a relative error of 4%.
        assert told == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize(
    ("x", "made", "groups", "said"),
    [
        (np.ones(3), np.ones(3), None, "n, \\*event"),
        (np.ones((3, 2)), np.ones((3, 1)), None, "expected the same"),
        (np.eye(3), np.full((3, 3), np.nan), None, "NaN"),
        (np.full((3, 2), 0.1), np.ones((3, 2)), None, "all alike"),
        (np.eye(3), np.ones((3, 3)), np.arange(3), "told the same"),
        (np.eye(3), np.ones((3, 3)), np.arange(2), "one row for each of 3 examples"),
    ],
)
def test_what_cannot_be_measured_is_refused(x, made, groups, said):
    with pytest.raises(ValueError, match=said):
        input_dependence(x, made, groups)


def test_an_exact_model_depends_on_its_input():
    """Its reconstructions W E[z|x] + b have the variance of its posterior means."""
    model, split = TRUTH.model(), Split(TRUTH.data(200))
    found = dependence_of(model, split)
    made = np.asarray(model.reconstruct(split.x, deterministic=True), np.float64)
    expected = np.mean(made.var(0) / split.x.var(0, dtype=np.float64))
    assert found["reconstruction_variance"].value == pytest.approx(expected, rel=1e-5)
    assert dependence_verdict(found, model) is None


def networks(**options):
    rngs = nnx.Rngs(0)
    return (
        MLPEncoder([8], 2, "relu", (4, 4, 1), rngs=rngs),
        MLPDecoder([8], (4, 4, 1), 2, "relu", rngs=rngs, **options),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "bias", "remedy"),
    [
        (lambda: VAE(*networks(), 2, rngs=nnx.Rngs(0)), -30.0, "the decoder is stuck"),
        (lambda: VQVAE(*networks(), 2, 8, 2, rngs=nnx.Rngs(0)), -30.0, "likelihood='bce'"),
        (
            lambda: VAE(*networks(), 2, likelihood="bce", rngs=nnx.Rngs(0)),
            -30.0,
            "has not reached the data's mean yet: train for longer (workshop train --resume RUN",
        ),
        (lambda: VAE(*networks(), 2, rngs=nnx.Rngs(0)), 0.0, "lower beta"),
        (lambda: VQVAE(*networks(), 2, 8, 2, rngs=nnx.Rngs(0)), 0.0, "kmeans"),
    ],
)
def test_a_decoder_that_gives_one_image_is_told(make, bias, remedy):
    """The mean of the data is ½, and so is that of logits of 0; those of -30 are black."""
    model = make()
    last = model.decoder.output_layer
    last.kernel[...], last.bias[...] = jnp.zeros_like(last.kernel[...]), jnp.full(16, bias)
    x = RNG.random((60, 4, 4, 1), np.float32)
    study = Study(model, Split(x), Split(x), Settings(samples=8, examples=10))
    section = dict(summary.evaluate(study, quick=True))["reconstructions"]
    assert section.figures["reconstruction_variance"].value < 1e-12
    (said,) = section.verdicts
    assert said.startswith("reconstructions do not depend on the input")
    assert remedy in said
    error = np.square(x - (0.5 if bias == 0 else 0.0)).mean() / x.var(0).mean()
    assert f"{error:.2f} times" in said
