"""The learning rate falls when evaluations get no better, by the validation metric alone."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.core.optimizers import plateau
from workshop.generative_models.training import Callback, Trainer

RATE, EVERY, STEPS = 0.08, 3, 60  # a rate at which the loss goes up and down
OPTIONS = {
    "optimizer": optax.sgd(RATE), "batch_size": 8, "log_every": EVERY, "evaluate_every": EVERY,
    "plateau_patience": 1, "plateau_factor": 0.5, "progress": False,
}  # fmt: skip


def arrays(model):
    return [np.asarray(a) for a in jax.tree.leaves(nnx.state(model, nnx.Param))]


def scales(values, patience, factor, sign=1.0):
    """Return the scale after each evaluation, by the rule as documented, in plain Python."""
    best, stale, scale, found = np.inf, 0, 1.0, []
    for value in values:
        best, stale = (sign * value, 0) if sign * value < best else (best, stale + 1)
        if stale == patience:
            scale, stale = scale * factor, 0
        found.append(scale)
    return found


@pytest.mark.parametrize("monitor", ["loss", "elbo", "reconstruction_loss"])
def test_the_scale_is_a_function_of_the_evaluations(make_vae, x, monitor):
    rows = Trainer(make_vae(), **OPTIONS, monitor=monitor).fit(x, x[:9], steps=STEPS)
    values = [row[monitor] for row in rows if row["split"] == "validation"]
    trained = [row["learning_rate_scale"] for row in rows if row["split"] == "train"]
    expected = scales(values, 1, 0.5, -1.0 if monitor == "elbo" else 1.0)
    assert expected[-2] < 1, "the case says nothing: the metric gets better all the time"
    np.testing.assert_allclose(trained, [1.0, *expected[:-1]])  # of the steps after it


@pytest.mark.parametrize("values", [[3, 2, 2, 2, 1, 1, 1], [-1, -2, -1.99995, -1.9999, -3, -3, -3]])
def test_negative_metrics_are_compared_like_any_other(values):
    """By a relative tolerance, -1.99995 would count as better than -2."""
    rule = plateau(2, 0.5)
    state, found = rule.init({"a": np.zeros((), np.float32)}), []
    for value in values:
        state = rule.update({}, state, value=np.float32(value))[1]
        found.append(float(state.scale))
    assert found == scales(values, 2, 0.5)


def test_the_scale_multiplies_the_learning_rate(make_vae, x):
    """The oracle: the same rates by a schedule of steps."""
    one, other = make_vae(), make_vae()
    rows = Trainer(one, **OPTIONS).fit(x, x[:9], steps=STEPS)
    by_step = [row["learning_rate_scale"] for row in rows if row["split"] == "train"]
    falls = {EVERY * i: by_step[i] / by_step[i - 1]
             for i in range(1, len(by_step)) if by_step[i] < by_step[i - 1]}  # fmt: skip
    assert falls
    schedule = optax.piecewise_constant_schedule(RATE, falls)
    options = {**OPTIONS, "optimizer": optax.sgd(schedule), "plateau_patience": None}
    Trainer(other, **options).fit(x, x[:9], steps=STEPS)
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_it_is_a_part_of_checkpoints_and_of_further_calls(make_vae, x, tmp_path):
    whole, resumed, continued = make_vae(), make_vae(), make_vae()
    rows = Trainer(whole, **OPTIONS).fit(x, x[:9], steps=30)
    Trainer(make_vae(), **OPTIONS, folder=tmp_path).fit(x, x[:9], steps=12)
    again = Trainer(resumed, **OPTIONS, folder=tmp_path).fit(x, x[:9], steps=30, resume=True)
    run = Trainer(continued, **OPTIONS)
    for _ in range(5):
        further = run.fit(x, x[:9], steps=6)
    assert rows == again == further
    assert rows[-2]["learning_rate_scale"] < 1
    for model in (resumed, continued):
        for a, b in zip(arrays(whole), arrays(model), strict=True):
            np.testing.assert_array_equal(a, b)
    other = Trainer(make_vae(), **OPTIONS | {"plateau_factor": 0.2}, folder=tmp_path)
    with pytest.raises(ValueError, match=r"plateau_factor=0.5, not 0.2"):
        other.fit(x, x[:9], steps=40, resume=True)


def test_an_optimizer_that_needs_the_loss_is_refused_with_the_way(make_vae, x):
    optimizer = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau())
    with pytest.raises(ValueError, match=r"'value'.*: leave it out; .*plateau_patience"):
        Trainer(make_vae(), optimizer, progress=False).fit(x, steps=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plateau_patience": 0}, "plateau_patience"),
        (
            {"plateau_patience": 2, "plateau_factor": 1.0},
            "plateau_factor=1.0: Input should be less than 1",
        ),
        (
            {"plateau_patience": 2, "plateau_factor": float("nan")},
            "plateau_factor=nan: Input should be a finite number",
        ),
    ],
)
def test_bad_values_are_refused(make_vae, options, message):
    with pytest.raises(ValueError, match=message):
        Trainer(make_vae(), **options)


def test_validation_data_is_needed(make_vae, x):
    with pytest.raises(ValueError, match="plateau_patience look at validation data"):
        Trainer(make_vae(), plateau_patience=1).fit(x, steps=1)


def test_callbacks_see_the_reduced_rate(make_vae, x):
    seen = []

    class Watch(Callback):
        def on_row(self, row):
            seen.append(row.get("learning_rate_scale"))

    Trainer(make_vae(), **OPTIONS, callbacks=[Watch()]).fit(x, x[:9], steps=6)
    assert seen == [1.0, None, 1.0, None]
