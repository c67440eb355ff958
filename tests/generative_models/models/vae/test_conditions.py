"""Conditions that are no single class: continuous values, several classes, and their mixtures."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from workshop.generative_models.data import Dataset, Split
from workshop.generative_models.evaluation import bounds, outputs
from workshop.generative_models.evaluation.study import Settings, Study
from workshop.generative_models.models.vae import ConditionalVAE, MLPDecoder, MLPEncoder
from workshop.generative_models.training import Trainer
from workshop.generative_models.visualization.report import run_figures

RNG = np.random.default_rng(0)
WEIGHT = np.linalg.qr(RNG.normal(size=(5, 2)))[0] * [1.3, 0.7]
SHIFT = RNG.normal(size=(3, 5))
SIGMA = 0.4
VARIANCE = 1 / (1 + np.array([1.3, 0.7]) ** 2 / SIGMA**2)


def rows(y):
    """What the networks here read: rows of three numbers, or labels, as rows."""
    return jnp.asarray(SHIFT, jnp.float32)[y] if y.ndim < 2 else y @ jnp.asarray(SHIFT, jnp.float32)


class Encoder(nnx.Module):
    """The exact posterior of x = W z + y C + σ ε."""

    def __call__(self, x, condition):
        gain = jnp.asarray(VARIANCE[:, None] * WEIGHT.T / SIGMA**2, jnp.float32)
        mean = (x - rows(condition)) @ gain.T
        return mean, jnp.broadcast_to(jnp.log(VARIANCE).astype(jnp.float32), mean.shape)


class Decoder(nnx.Module):
    output_shape = (5,)

    def __init__(self):
        self.weight = nnx.Param(jnp.asarray(WEIGHT, jnp.float32))

    def __call__(self, z, condition):
        return z @ self.weight[...].T + rows(condition)


def own():
    return ConditionalVAE(
        Encoder(), Decoder(), 2, likelihood="gaussian", scale=SIGMA, rngs=nnx.Rngs(0)
    )


def wrapped(likelihood="gaussian"):
    rngs = nnx.Rngs(0)
    parts = MLPEncoder([4], 2, input_dim=5, rngs=rngs), MLPDecoder([4], 5, 2, rngs=rngs)
    return ConditionalVAE(*parts, 2, 3, likelihood=likelihood, rngs=rngs)


N = 30
CONTINUOUS = RNG.normal(size=(N, 3)).astype(np.float32)
LABELS = RNG.integers(0, 3, N).astype(np.int32)
MULTI = (RNG.random((N, 3)) < 0.5).astype(np.int64)
ALL = {"continuous": CONTINUOUS, "labels": LABELS, "several": MULTI}


def data(y):
    z, noise = RNG.normal(size=(N, 2)), RNG.normal(size=(N, 5))
    shift = SHIFT[y] if y.ndim == 1 else y @ SHIFT
    return (z @ WEIGHT.T + shift + SIGMA * noise).astype(np.float32)


def evidence(x, y):
    shift = SHIFT[y] if y.ndim == 1 else y @ SHIFT
    joint = stats.multivariate_normal(np.zeros(5), WEIGHT @ WEIGHT.T + SIGMA**2 * np.eye(5))
    return joint.logpdf(x - shift)


@pytest.mark.sampled
@pytest.mark.parametrize("kind", ALL)
def test_bounds_of_the_exact_posterior_are_log_p_of_x_given_the_condition(kind):
    y, model = ALL[kind], own()
    x = data(y)
    exact = evidence(x, y)
    bound = bounds.importance_weighted_bound(model, x, y, samples=3)
    np.testing.assert_allclose(bound, exact, atol=1e-4)
    # Of one sample of z its variance is that of log p(x|z) - log q: of 400 on average 1/20.
    np.testing.assert_allclose(bounds.elbo(model, x, y, samples=400), exact, atol=0.5)
    in_split = bounds.importance_weighted_bound(
        model, Split(x, y if y.ndim == 1 else y.astype(np.float32)), samples=3
    )
    np.testing.assert_allclose(in_split, bound, atol=1e-5)


@pytest.mark.slow
def test_everything_that_runs_a_model_takes_continuous_conditions():
    x, model = data(CONTINUOUS), own()
    split = Split(x, CONTINUOUS)
    trainer = Trainer(model, batch_size=10, progress=False)
    history = trainer.fit({"x": x, "y": CONTINUOUS}, {"x": x, "y": CONTINUOUS}, steps=2)
    assert np.isfinite(history[-1]["loss"])
    model = own()
    found = outputs.posteriors(model, split)
    expected = (x - CONTINUOUS @ SHIFT) @ (VARIANCE[:, None] * WEIGHT.T / SIGMA**2).T
    np.testing.assert_allclose(found["mean"], expected, atol=1e-5)
    z = np.asarray(found["mean"])
    made = z @ WEIGHT.T + CONTINUOUS @ SHIFT
    np.testing.assert_allclose(
        model.reconstruct(x, y=CONTINUOUS, deterministic=True), made, atol=1e-5
    )
    drawn = model.sample(N, y=CONTINUOUS, rngs=nnx.Rngs(1))
    other = model.sample(N, y=CONTINUOUS + 1, rngs=nnx.Rngs(1))
    np.testing.assert_allclose(other - drawn, np.broadcast_to(SHIFT.sum(0), (N, 5)), atol=1e-5)
    one = model.sample(4, y=CONTINUOUS[:1])
    assert one.shape == (4, 5)
    names = [name for name, _ in run_figures(model, split, history)]
    assert {"samples", "interpolations", "latent_map"} <= set(names)


def test_interpolation_between_two_conditions_mixes_them_linearly():
    x, model = data(CONTINUOUS), own()
    y1, y2 = CONTINUOUS[0], CONTINUOUS[1]
    line = model.interpolate(x[0], x[1], 5, y1=y1, y2=y2)
    ends = [model.encode(x[i : i + 1], CONTINUOUS[i : i + 1])[0] for i in (0, 1)]
    weight = np.linspace(0, 1, 5)[:, None]
    z = (1 - weight) * ends[0] + weight * ends[1]
    expected = z @ WEIGHT.T + ((1 - weight) * y1 + weight * y2) @ SHIFT
    np.testing.assert_allclose(line, expected, atol=1e-5)


@pytest.mark.parametrize("embed_dim", [None, 2])
def test_interpolation_between_two_classes_mixes_their_rows(embed_dim):
    rngs = nnx.Rngs(0)
    parts = MLPEncoder([4], 2, input_dim=5, rngs=rngs), MLPDecoder([4], 5, 2, rngs=rngs)
    model = ConditionalVAE(*parts, 2, 3, embed_dim=embed_dim, rngs=rngs)
    x = data(LABELS)
    line = model.interpolate(x[0], x[1], 3, y1=0, y2=2)
    z = [model.encode(x[i : i + 1], y)[0] for i, y in ((0, 0), (1, 2))]
    between = [np.eye(3)[:1], np.array([[0.5, 0, 0.5]]), np.eye(3)[2:]]
    path = [z[0], (z[0] + z[1]) / 2, z[1]]
    expected = [
        model.decode(a, b.astype(np.float32))[0] for a, b in zip(path, between, strict=True)
    ]
    np.testing.assert_allclose(line, np.stack(expected), atol=1e-6)
    same = model.interpolate(x[0], x[1], 3, y=1)
    np.testing.assert_allclose(same, model.interpolate(x[0], x[1], 3, y1=1, y2=1), atol=1e-6)
    compiled = nnx.jit(lambda m, a, b: m.interpolate(x[0], x[1], 3, y1=a, y2=b))(model, 0, 2)
    np.testing.assert_allclose(compiled, line, atol=1e-6)


@pytest.mark.slow
def test_several_classes_at_once_train_and_are_measured():
    x, model = np.abs(data(MULTI)), wrapped()
    Trainer(model, batch_size=10, progress=False).fit({"x": x, "y": MULTI}, steps=2)
    rows_of = MULTI.astype(np.float32)
    found = bounds.elbo(model, x, MULTI, samples=2)
    np.testing.assert_array_equal(found, bounds.elbo(model, x, rows_of, samples=2))
    np.testing.assert_array_equal(found, bounds.elbo(model, Split(x, rows_of), samples=2))
    # And they are read: other classes give other values.
    assert np.abs(found - bounds.elbo(model, x, 1 - MULTI, samples=2)).min() > 0
    assert model.sample(N, y=MULTI).shape == x.shape


@pytest.mark.parametrize("kind", ["continuous", "several"])
def test_samples_for_an_evaluation_have_the_conditions_of_the_data(kind):
    y, model = ALL[kind], own()
    x = data(y)
    split = Split(x, y.astype(np.float32))
    study = Study(model, split, split, Settings(generated=3000))
    assert not study.has_classes
    # Means of x given these conditions are those of the rows, to the error of 3,000 samples.
    expected = (y @ SHIFT).mean(0)
    np.testing.assert_allclose(study.samples.mean(0), expected, atol=5 * 1.3 / np.sqrt(3000))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: m.sample(3), "sample: pass y, a condition for each sample"),
        (lambda m, x: m.sample(3, y=np.zeros((2, 3))), "a row for each of 3 examples"),
        (lambda m, x: m.interpolate(x[0], x[1], y1=CONTINUOUS[0]), "pass y1 and y2"),
        (lambda m, x: m.interpolate(x[0], x[1], y=0, y1=0, y2=1), "pass y1 and y2"),
        (lambda m, x: m.interpolate(x[0], x[1], y1=0, y2=1), "y1 is of type int32"),
        (lambda m, x: bounds.elbo(m, x, CONTINUOUS[:7]), "a row for each of 30 examples"),
        (lambda m, x: bounds.elbo(m, x, CONTINUOUS * np.nan), "NaN"),
        (lambda m, x: Trainer(m, progress=False).fit({"x": x, "y": CONTINUOUS * np.inf}, steps=1),
         "NaN or infinite"),
    ],
)  # fmt: skip
def test_conditions_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(own(), data(CONTINUOUS))


def test_classes_are_still_checked_where_networks_read_classes():
    model, x = wrapped(), data(LABELS)
    with pytest.raises(ValueError, match="0 <= label < 3"):
        bounds.elbo(model, x, LABELS + 1)
    with pytest.raises(ValueError, match="negative"):
        model.sample(N, y=CONTINUOUS)


def test_a_data_set_has_class_labels():
    split = Split(data(CONTINUOUS), CONTINUOUS)
    assert split.labels is None
    assert Split(data(LABELS), LABELS).labels is LABELS
    with pytest.raises(ValueError, match="expected class labels, int32"):
        Dataset("mine", split, split, split)
    with pytest.raises(ValueError, match="rows of a condition, int32 or float32"):
        Split(data(CONTINUOUS), CONTINUOUS.astype(np.float64))
