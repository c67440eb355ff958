import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.data.reading import EpochOrder
from workshop.generative_models.training.evaluation import metric_sums
from workshop.generative_models.training.step import (
    EVALUATE,
    TRAIN,
    Feed,
    Plan,
    init_state,
    purpose_key,
    scalars,
    train_steps,
)

SEED, SIZE = jnp.asarray(7), jnp.asarray(50)
OPTIMIZER = optax.adam(1e-2)
PLAN = Plan(OPTIMIZER)


def run(model, x, counts):
    """Run the compiled loop in calls of the given lengths."""
    data = {"x": jnp.asarray(x)}
    graphdef, state = init_state(model, PLAN, {"x": data["x"][:1]})
    order, done = EpochOrder(len(x), 8, 7), 0
    for count in counts:
        indices = np.zeros((10, 8), np.int32)
        indices[:count] = order.batches(done, count)
        feed = Feed(data, jnp.asarray(indices), jnp.asarray(0))
        state = train_steps(graphdef, PLAN, state, feed, jnp.asarray(count), SEED, SIZE)
        done += count
    return state


def test_the_loop_takes_the_steps_of_a_plain_python_loop(make_vae, x):
    """The oracle: jax.grad of the public loss, optax, one step at a time."""
    model = make_vae()
    params = nnx.state(model, nnx.Param)
    opt_state = OPTIMIZER.init(params)
    losses = []
    for step, indices in enumerate(EpochOrder(len(x), 8, 7).batches(0, 10)):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(7), TRAIN), step)
        batch = jnp.asarray(x[indices])
        loss, gradient = jax.value_and_grad(
            lambda p, batch=batch, key=key: model.loss_fn(p, batch, key)["total_loss"]
        )(params)
        updates, opt_state = OPTIMIZER.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        losses.append(float(loss))
    state = run(make_vae(), x, [10])
    # Two compilations of the same sums in float32; Adam divides small numbers by small ones.
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state.sums["loss"], np.sum(losses), rtol=1e-5)
    assert (int(state.step), int(state.sums["count"])) == (10, 10)


@pytest.mark.parametrize("name", ["make_vae", "make_vqvae"])
def test_how_steps_are_cut_into_calls_changes_no_bit(request, name, x):
    make = request.getfixturevalue(name)
    whole, cut = run(make(), x, [9]), run(make(), x, [1, 5, 3])
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def test_statistics_of_codes_are_applied_every_step(make_vqvae, x):
    """The usage is the moving average of the counts that the losses report."""
    model, state = make_vqvae(), run(make_vqvae(), x, [1])
    batch = jnp.asarray(x[EpochOrder(len(x), 8, 7).batches(0, 1)[0]])
    counts = model.loss_fn(batch=batch)["statistics"]["usage"]
    np.testing.assert_allclose(state.rest["usage"][...], 0.01 * counts, rtol=1e-6)


def test_evaluation_weighs_the_last_batch_by_its_examples(make_vae, x):
    model, batch_size = make_vae(), 16  # 50 = 3 · 16 + 2
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    data, first = {"x": jnp.asarray(x)}, jnp.asarray(0)
    found = metric_sums(graphdef, params, rest, data, first, SEED, SIZE, batch_size=batch_size)
    sums = dict.fromkeys(found, 0.0)
    for i, start in enumerate(range(0, 50, batch_size)):
        part = x[start : start + batch_size]
        losses = model.loss_fn(batch=part, rng=purpose_key(SEED, EVALUATE, jnp.asarray(i)))
        for name in sums:
            sums[name] += float(losses[name]) * len(part)
    for name, total in sums.items():
        np.testing.assert_allclose(found[name], total, rtol=1e-5)


def test_metrics_are_the_single_numbers_under_one_name_each():
    losses = {
        "loss": jnp.ones(()),
        "total_loss": jnp.ones(()),
        "recon_loss": jnp.ones(()),
        "kl_per_dimension": jnp.ones(3),
        "statistics": jnp.ones((2, 2)),
    }
    assert list(scalars(losses)) == ["loss", "reconstruction_loss"]
