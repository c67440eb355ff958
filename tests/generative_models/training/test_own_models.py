"""What the trainer asks of a model that is not a VAE."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.training import Trainer
from workshop.generative_models.training.evaluation import metric_sums

X = np.random.default_rng(0).normal(1.0, 0.1, (20, 3)).astype(np.float32)
SGD = optax.sgd(0.1)


class Mean(GenerativeModel):
    """Fit the mean of the data."""

    metrics = {"gain": Metric("gain", larger_is_better=True)}  # noqa: RUF012

    def __init__(self):
        self.mean = nnx.Param(jnp.zeros(3))

    def loss_fn(self, params=None, batch=None, rng=None, *, step=None):
        error = jnp.square(batch["x"] - self.mean[...]).sum(-1).mean()
        return {"total_loss": error, "gain": self.mean[...].sum(), "drift": error - 1.0, "beta": 1}


def fit(model, **options):
    options = {"batch_size": 10, "evaluate_every": 5, "progress": False, **options}
    return Trainer(model, SGD, **options).fit(X, X[:5], steps=10)


def test_a_models_own_metric_is_monitored_in_its_direction():
    model, last = Mean(), Mean()
    fit(model, monitor="gain", keep_best=True)  # the mean grows towards 1
    fit(last)
    np.testing.assert_array_equal(model.mean[...], last.mean[...])

    class Loss(Mean):
        metrics = {"gain": Metric("gain", larger_is_better=False)}  # noqa: RUF012

    first = Loss()
    fit(first, monitor="gain", keep_best=True)
    assert (first.mean[...] < last.mean[...]).all()


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("drift", r"monitor='drift': .*metrics = \{'drift': Metric\('drift', larger_is_better=Fa"),
        ("beta", r"monitor='beta' is a setting and no measurement: expected one of gain, loss$"),
        ("elbo", r"monitor='elbo': expected one of"),
    ],
)
def test_a_metric_without_a_direction_is_not_monitored(monitor, message):
    with pytest.raises(ValueError, match=message):
        fit(Mean(), monitor=monitor)


def test_nan_counts_as_the_worst_value_of_a_metric():
    class Signed(Mean):
        metrics = {"drift": Metric("drift", larger_is_better=True)}  # noqa: RUF012

        def loss_fn(self, params=None, batch=None, rng=None, *, step=None):
            found = super().loss_fn(params, batch, rng, step=step)
            return {**found, "unknown": found["total_loss"]}

    graphdef, params, rest = nnx.split(Signed(), nnx.Param, ...)
    data = {"x": jnp.full((4, 3), jnp.nan)}
    zero = jnp.asarray(0)
    sums = metric_sums(graphdef, params, rest, data, zero, zero, None, batch_size=2)
    assert sums["loss"] == jnp.inf
    assert sums["drift"] == -jnp.inf
    assert jnp.isnan(sums["unknown"])
    assert (sums["gain"], sums["beta"]) == (0, 4)


class Sized(Mean):
    """Report the size of the training set, and count how often the loss is traced."""

    traced = 0

    def loss_fn(self, params=None, batch=None, rng=None, *, num_examples, **rest):
        type(self).traced += 1
        size = jnp.float32(jnp.nan if num_examples is None else num_examples)
        return super().loss_fn(params, batch, rng, **rest) | {"size": size}


def test_the_loss_gets_the_size_of_the_training_set():
    trainer = Trainer(Sized(), SGD, batch_size=5, progress=False, stream=True)
    assert np.isnan(trainer.evaluate(X)["size"])
    rows = trainer.fit(X, X[:5], steps=10)
    assert {row["size"] for row in rows} == {20}
    assert trainer.evaluate(X[:5])["size"] == 20
    # Chunks of one shape: training on another number of examples compiles nothing anew.
    before = Sized.traced
    rows = trainer.fit(X[:15], X[:5], steps=10)
    assert {row["size"] for row in rows if row["step"] > 10} == {15}
    assert Sized.traced == before
    assert trainer.evaluate(X[:5])["size"] == 15
