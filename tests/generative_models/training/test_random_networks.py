"""Networks of one's own with dropout or batch statistics, trained and evaluated as they should."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.data.reading import EpochOrder
from workshop.generative_models.models.vae import VAE, MLPDecoder
from workshop.generative_models.training import Trainer

SEEN: list[np.ndarray] = []


class Dropping(nnx.Module):
    """An encoder that shows the noise of its dropout."""

    def __init__(self, rngs):
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.linear = nnx.Linear(6, 4, rngs=rngs)

    def __call__(self, x):
        jax.debug.callback(lambda m: SEEN.append(np.asarray(m)), self.dropout(jnp.ones(64)))
        return tuple(jnp.split(self.linear(x), 2, axis=-1))


class Normalising(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(6, momentum=0.9, rngs=rngs)
        self.linear = nnx.Linear(6, 4, rngs=rngs)

    def __call__(self, x):
        return tuple(jnp.split(self.linear(self.norm(x)), 2, axis=-1))


def vae(kind):
    rngs = nnx.Rngs(0)
    return VAE(kind(rngs), MLPDecoder([8], (6,), 2, rngs=rngs), 2, rngs=rngs)


def trainer(model, **options):
    return Trainer(model, optax.sgd(1e-6), 10, progress=False, **options)


def test_dropout_is_drawn_anew_at_every_step_and_is_off_in_evaluation(x):
    model = vae(Dropping)
    SEEN.clear()
    trainer(model).fit(x, steps=6)
    jax.effects_barrier()
    masks = {m.tobytes() for m in SEEN[-6:]}
    assert len(masks) == 6
    assert all(set(np.unique(m)) == {0.0, 2.0} for m in SEEN[-6:])
    SEEN.clear()
    first, second = (trainer(model).evaluate(x) for _ in range(2))
    jax.effects_barrier()
    assert first == second
    assert all((m == 1).all() for m in SEEN)


@pytest.mark.slow
def test_dropout_is_the_same_after_a_resumption(x, tmp_path, weights):
    models = [vae(Dropping) for _ in range(2)]
    trainer(models[0]).fit(x, steps=8)
    trainer(models[1], folder=tmp_path).fit(x, steps=5)
    trainer(models[1], folder=tmp_path).fit(x, steps=8, resume=True)
    for a, b in zip(weights(models[0]), weights(models[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batch_statistics_move_once_a_step(x):
    """The oracle: flax's running mean m <- 0.9 m + 0.1 mean(batch), in float64."""
    model = vae(Normalising)
    trainer(model).fit(x, steps=7)
    mean = np.zeros(6)
    for indices in EpochOrder(len(x), 10, 0).batches(0, 7):
        mean = 0.9 * mean + 0.1 * x[indices].astype(np.float64).mean(0)
    np.testing.assert_allclose(model.encoder.norm.mean[...], mean, rtol=1e-5)
    before = np.asarray(model.encoder.norm.mean[...])
    trainer(model).evaluate(x)
    np.testing.assert_array_equal(before, model.encoder.norm.mean[...])


@pytest.mark.slow
def test_a_folder_with_a_run_is_not_written_over(make_vae, x, tmp_path, weights):
    first, other = make_vae(), make_vae()
    trainer(first, folder=tmp_path).fit(x, steps=20)
    with pytest.raises(FileExistsError, match="holds a run at step 20: pass resume=True"):
        trainer(other, folder=tmp_path).fit(x, steps=20)
    with pytest.raises(ValueError, match="is at step 20 already"):
        trainer(other, folder=tmp_path).fit(x, steps=10, resume=True)
    with pytest.raises(ValueError, match="of a run with batch_size=10, not 5"):
        Trainer(other, optax.sgd(1e-6), 5, folder=tmp_path, progress=False).fit(
            x, steps=20, resume=True
        )
    trainer(other, folder=tmp_path).fit(x, steps=20, resume=True)
    for a, b in zip(weights(first), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_seed_that_no_key_can_hold(make_vae):
    with pytest.raises(ValueError, match="seed=5000000000: Input should be less than"):
        Trainer(make_vae(), seed=5_000_000_000)


def test_labels_that_are_no_numbers_are_named(make_vae, x):
    with pytest.raises(ValueError, match=r"train\['y'\] is of type <U1: expected integer labels"):
        Trainer(make_vae(), progress=False).fit({"x": x, "y": np.array(["a"] * 50)}, steps=1)
