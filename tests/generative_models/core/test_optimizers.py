import jax.numpy as jnp
import numpy as np
import optax
import pytest

from workshop.generative_models.training import Trainer, create_optimizer, learning_rate_schedule

PEAK, STEPS, WARM = 0.5, 200, 40


def decay(name, u, final):
    """The formulas, u from 0 to 1 over the decay."""
    return {
        "constant": 1.0,
        "linear": 1 - (1 - final) * u,
        "cosine": final + (1 - final) * 0.5 * (1 + np.cos(np.pi * u)),
        "exponential": final**u,
    }[name]


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "exponential"])
@pytest.mark.parametrize("warm", [0, WARM])
def test_schedules_are_their_formulas(name, warm):
    rate = learning_rate_schedule(name, PEAK, STEPS, warmup_steps=warm, final=0.1)
    for step in range(0, STEPS + 30, 10):
        if step < warm:
            expected = PEAK * step / warm
        else:
            u = min((step - warm) / (STEPS - warm), 1.0)
            expected = PEAK * decay(name, u, 0.1)
        assert float(rate(step)) == pytest.approx(expected, rel=1e-5)


def updates(optimizer, gradients, weight=1.0):
    params = jnp.full((3,), weight)
    state, path = optimizer.init(params), []
    for gradient in gradients:
        change, state = optimizer.update(jnp.asarray(gradient), state, params)
        params = optax.apply_updates(params, change)
        path.append(np.asarray(params))
    return path


def test_clipping_limits_the_norm_of_the_whole_gradient():
    clipped = create_optimizer("sgd", 1.0, clip_norm=1.0)
    (found,) = updates(clipped, [[3.0, 0.0, 4.0]])
    np.testing.assert_allclose(found, 1 - np.array([0.6, 0.0, 0.8]), rtol=1e-6)


def test_accumulated_gradients_make_one_update_by_their_mean():
    plain = create_optimizer("adam", 0.1)
    summed = create_optimizer("adam", 0.1, accumulate=2)
    gradients = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    whole = updates(plain, gradients.reshape(3, 2, 3).mean(1))
    parts = updates(summed, gradients)
    np.testing.assert_allclose(parts[1::2], whole, rtol=1e-5)
    np.testing.assert_array_equal(parts[0], np.ones(3))


@pytest.mark.parametrize("name", ["adamw", "lion", "lamb"])
def test_weights_decay_in_units_of_the_rate(name):
    """Without a gradient a decoupled decay is w <- w - rate · decay · w (lamb: normed by |w|)."""
    (found,) = updates(create_optimizer(name, 0.1, weight_decay=0.5), [np.zeros(3, np.float32)])
    expected = 1 - 0.1 * (0.5 if name != "lamb" else 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop", "lion", "adafactor",
                                  "adabelief", "lamb"])  # fmt: skip
def test_every_optimizer_trains_a_model(make_vae, x, name):
    optimizer = create_optimizer(name, 1e-2, steps=60, schedule="cosine", warmup_steps=5)
    rows = Trainer(make_vae(), optimizer, 25, log_every=20, progress=False).fit(x, steps=60)
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adamm"}, "did you mean 'adam"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"weight_decay": 0.1}, "weight_decay=0.1 with optimizer='adam': choose one of adamw"),
        ({"schedule": "cosine"}, "pass steps"),
        ({"schedule": "cosin", "steps": 10}, "did you mean 'cosine'"),
        ({"warmup_steps": 10, "steps": 10}, "expected 0 <= warmup_steps < 10"),
        ({"schedule": "exponential", "steps": 10}, "above 0 for an exponential"),
        ({"clip_norm": 0.0}, "clip_norm=0.0"),
        ({"accumulate": 0}, "accumulate=0"),
    ],
)
def test_what_does_not_go_together_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        create_optimizer(**options)
