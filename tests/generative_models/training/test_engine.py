"""What the trainer offers beside plain steps, each against an oracle of its own."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.core.moments import moments_of
from workshop.generative_models.data.reading import EpochOrder
from workshop.generative_models.training import Callback, Trainer, create_optimizer
from workshop.generative_models.training.failures import first_not_finite
from workshop.generative_models.training.step import Plan, init_state

ADAM = optax.adam(1e-2)


def trainer(model, **options):
    return Trainer(
        model, **{"optimizer": ADAM, "batch_size": 8, "log_every": 5, "progress": False, **options}
    )


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


class Watch(Callback):
    """Keep all that a callback is told."""

    def __init__(self, weights=None):
        self.weights, self.told, self.rows, self.models = weights, [], [], {}

    def on_start(self, step):
        self.told.append(("start", step))

    def on_row(self, row):
        self.told.append(("row", row["step"], row["split"]))
        self.rows.append(row)

    def on_evaluation(self, step, model):
        self.told.append(("evaluation", step))
        if self.weights:
            self.models[step] = self.weights(model)

    def on_end(self):
        self.told.append(("end",))


class TestStreams:
    @pytest.mark.sampled
    @pytest.mark.parametrize("kind", ["bytes", "labelled file"])
    def test_streamed_and_resident_data_give_the_same_bits(
        self, make_vqvae, x, weights, tmp_path, kind, monkeypatch
    ):
        from workshop.generative_models.data import reading

        monkeypatch.setattr(reading, "CHUNK_BYTES", 8 * 6 * 3 + 1)  # chunks of a few batches
        x = (x * 255).astype(np.uint8)
        models = make_vqvae(), make_vqvae()
        histories = [trainer(models[0], stream=False).fit(x, x[:9], steps=33)]
        if kind == "bytes":
            data = x
        else:
            np.save(tmp_path / "x.npy", x)
            data = {"x": np.load(tmp_path / "x.npy", mmap_mode="r"), "y": np.arange(50)}
        histories.append(trainer(models[1], stream=True).fit(data, x[:9], steps=33))
        assert histories[0] == histories[1]
        assert_equal(weights(models[0]), weights(models[1]))
        np.testing.assert_array_equal(models[0].usage[...], models[1].usage[...])

    @pytest.mark.slow
    def test_what_can_only_be_indexed_streams(self, make_vae, x, weights):
        class Rows:
            """No array: only a shape, a dtype, and rows."""

            shape, dtype = x.shape, x.dtype

            def __len__(self):
                return len(x)

            def __getitem__(self, indices):
                return x[indices]

        models = make_vae(), make_vae()
        trainer(models[0]).fit(x, steps=12)
        trainer(models[1], stream=True).fit(Rows(), steps=12)
        assert_equal(weights(models[0]), weights(models[1]))


class TestAverage:
    def test_it_is_the_running_mean_of_the_weights(self, make_vae, x, weights):
        """The oracle: weights after each step, averaged in float64 by the documented rule."""
        path = []
        for steps in range(8):
            model = make_vae()
            if steps:
                trainer(model).fit(x, steps=steps)
            else:
                model.initialize(moments_of([x]))  # as `fit` begins
            path.append([a.astype(np.float64) for a in weights(model)])
        average = path[0]
        for step, new in enumerate(path[1:]):
            decay = min(0.6, (1 + step) / (10 + step))
            average = [decay * a + (1 - decay) * b for a, b in zip(average, new, strict=True)]
        model, watch = make_vae(), Watch(weights)
        trainer(model, average=0.6, callbacks=[watch]).fit(x, x[:9], steps=7)
        for a, b in zip(weights(model), average, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        assert_equal(weights(model), watch.models[7])  # what is evaluated is the average too

    def test_a_decay_lies_between_0_and_1(self, make_vae):
        with pytest.raises(ValueError, match=r"average=1.0: Input should be less than 1"):
            trainer(make_vae(), average=1.0)


class TestBest:
    def fit(self, model, x, watch, **options):
        # A rate at which the loss goes up and down.
        return trainer(
            model, optimizer=optax.sgd(0.08), evaluate_every=3, callbacks=[watch], **options
        ).fit(x, x[:9], steps=60)

    def losses(self, watch):
        return [r["loss"] for r in watch.rows if r["split"] == "validation"]

    def test_the_best_evaluation_is_kept(self, make_vae, x, weights):
        model, watch = make_vae(), Watch(weights)
        # The KL grows while a model learns, so its smallest is not at the end.
        self.fit(model, x, watch, keep_best=True, monitor="kl_loss")
        kls = [r["kl_loss"] for r in watch.rows if r["split"] == "validation"]
        best = int(np.argmin(kls))
        assert best < len(kls) - 1, "the case says nothing: the last one is the best"
        assert_equal(weights(model), watch.models[3 * (best + 1)])

    def test_patience_counts_evaluations_without_a_better_one(self, make_vae, x, weights):
        whole, cut = Watch(), Watch()
        self.fit(make_vae(), x, whole)
        self.fit(make_vae(), x, cut, patience=2)
        losses = self.losses(whole)
        end = next(i for i in range(len(losses)) if i - int(np.argmin(losses[: i + 1])) >= 2)
        assert self.losses(cut) == losses[: end + 1]
        assert end < len(losses) - 1, "the case says nothing: it never ends early"

    def test_elbo_is_wanted_large(self, make_vae, x, weights):
        by_loss, by_elbo = make_vae(), make_vae()  # an ELBO is minus the loss here
        self.fit(by_loss, x, Watch(), keep_best=True)
        self.fit(by_elbo, x, Watch(), keep_best=True, monitor="elbo")
        assert_equal(weights(by_loss), weights(by_elbo))

    def test_an_unknown_metric_is_named(self, make_vae, x):
        with pytest.raises(ValueError, match=r"monitor='los': expected one of .*loss"):
            self.fit(make_vae(), x, Watch(), monitor="los")

    def test_validation_is_needed(self, make_vae, x):
        with pytest.raises(ValueError, match="pass validation"):
            trainer(make_vae(), keep_best=True).fit(x, steps=1)


class TestNotFinite:
    ODD = 17

    @pytest.fixture
    def spoilt(self, x):
        """Data whose squares overflow for one example."""
        x = x.copy()
        x[self.ODD] = 1e30
        return x

    def test_it_stops_with_all_that_helps(self, make_vae, spoilt, tmp_path, weights):
        model = make_vae()
        before = weights(model)
        order = EpochOrder(50, 8, 0).batches(0, 20)
        step = int(np.flatnonzero((order == self.ODD).any(1))[0])
        run = trainer(model, folder=tmp_path, checkpoint_every=1)
        with pytest.raises(FloatingPointError) as error:
            run.fit(spoilt, steps=20)
        message = str(error.value)
        assert message.startswith(f"step {step}: the ")
        assert " ".join(map(str, order[step])) in message
        assert f"the last good checkpoint is step {step} in {tmp_path}" in message or step == 0
        assert ("clip" in message) == (step > 0)
        assert "skip" in message
        assert_equal(before, weights(model))

    def test_before_any_update_the_learning_rate_is_not_to_blame(self, make_vae, x):
        with pytest.raises(FloatingPointError, match=r"step 0: .*: scale the data, .*standardize"):
            trainer(make_vae()).fit(x * 1e30, steps=2)

    @pytest.mark.slow
    def test_skipping_leaves_out_just_those_updates(self, make_vae, spoilt, weights):
        """The oracle: one step at a time by jax.grad, the spoilt batches passed over."""
        order = EpochOrder(50, 8, 0).batches(0, 20)
        model = make_vae()
        model.initialize(moments_of([spoilt]))  # as `fit` begins
        params = nnx.state(model, nnx.Param)
        opt_state, skipped = ADAM.init(params), 0
        for step, indices in enumerate(order):
            if self.ODD in indices:
                skipped += 1
                continue
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), step)
            batch = jnp.asarray(spoilt[indices])
            gradient = jax.grad(lambda p, b=batch, k=key: model.loss_fn(p, b, k)["total_loss"])(
                params
            )
            updates, opt_state = ADAM.update(gradient, opt_state, params)
            params = optax.apply_updates(params, updates)
        trained = make_vae()
        rows = trainer(trained, nonfinite="skip").fit(spoilt, steps=20)
        assert rows[-1]["skipped"] == skipped > 0
        for a, b in zip(weights(trained), jax.tree.leaves(params), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("place", "name"),
        [
            ("data", "the data 'x'"),
            ("weights", "the parameter encoder.mean_proj.kernel"),
            ("nothing", None),
        ],
    )
    def test_the_first_tensor_is_named(self, make_vae, x, place, name):
        model = make_vae()
        if place == "weights":
            model.encoder.mean_proj.kernel[...] = (
                model.encoder.mean_proj.kernel[...].at[0].set(jnp.nan)
            )
        graphdef, state = init_state(model, Plan(ADAM), {"x": jnp.asarray(x[:1])})
        batch = x[:4].copy()
        if place == "data":
            batch[0, 0] = np.inf
        found = first_not_finite(
            graphdef, state, {"x": jnp.asarray(batch)}, jnp.asarray(0), jnp.asarray(1)
        )
        assert found == name

    def test_an_output_and_a_gradient_are_named_too(self, make_vae, x):
        model = make_vae()
        model.encoder.mean_proj.bias[...] = jnp.full(2, 3e38)
        graphdef, state = init_state(model, Plan(ADAM), {"x": jnp.asarray(x[:1])})
        batch = {"x": jnp.asarray(x[:4])}
        found = first_not_finite(graphdef, state, batch, jnp.asarray(0), jnp.asarray(1))
        assert re.match(r"the (output|loss) '\w+'", found)


class TestCallbacks:
    def test_they_hear_of_everything_in_order(self, make_vae, x):
        watch = Watch()
        rows = trainer(make_vae(), evaluate_every=5, callbacks=[watch]).fit(x, x[:9], steps=10)
        assert watch.told == [
            ("start", 0),
            ("row", 5, "train"), ("row", 5, "validation"), ("evaluation", 5),
            ("row", 10, "train"), ("row", 10, "validation"), ("evaluation", 10),
            ("end",),
        ]  # fmt: skip
        assert watch.rows == rows

    def test_they_hear_of_the_end_of_a_run_that_fails(self, make_vae, x):
        watch = Watch()
        with pytest.raises(FloatingPointError):
            trainer(make_vae(), optimizer=optax.sgd(1e30), callbacks=[watch]).fit(x, steps=10)
        assert watch.told[-1] == ("end",)

    def test_they_change_no_bit(self, make_vae, x, weights):
        models = make_vae(), make_vae()
        trainer(models[0]).fit(x, x[:9], steps=10)
        trainer(models[1], callbacks=[Watch(weights)]).fit(x, x[:9], steps=10)
        assert_equal(weights(models[0]), weights(models[1]))


def test_equal_settings_compile_once(make_vae, x, programs):
    """A thousand small models in one process wait for the compiler once."""

    def fit(seed):
        Trainer(make_vae(), create_optimizer("adam", 3e-3), 8, seed, progress=False).fit(x, steps=3)

    fit(0)
    programs.clear()
    for seed in (1, 2):
        fit(seed)
    assert "jit(train_steps)" not in programs
