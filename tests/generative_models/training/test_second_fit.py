"""A second call of `fit` continues: many short calls are one long call, bit for bit."""

import gc
import os
import signal
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.core.configuration import DecoderConfig, EncoderConfig, VAEConfig
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.tracking.loggers import read_rows
from workshop.generative_models.training import (
    Callback,
    Stopped,
    StopTraining,
    Trainer,
    create_optimizer,
)
from workshop.generative_models.training.feeds import Resident

# With momentum, a warm-up and a decay, so that every part of the optimizer's state counts.
OPTIMIZER = create_optimizer("adam", 1e-2, steps=24, schedule="cosine", warmup_steps=6)
OPTIONS = {"optimizer": OPTIMIZER, "batch_size": 8, "log_every": 4, "progress": False}


def trainer(model, **options):
    return Trainer(model, **{**OPTIONS, **options})


def everything(model):
    """Return all that training changes in a model."""
    state = nnx.state(model, nnx.Not(nnx.RngState))
    return [np.asarray(a) for a in jax.tree.leaves(state)]


def assert_same(one, other):
    for a, b in zip(everything(one), everything(other), strict=True):
        np.testing.assert_array_equal(a, b)


def differ(one, other):
    return any((a != b).any() for a, b in zip(one, other, strict=True))


def annealed():
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=(8,), latent_dim=2, input_shape=(6,)),
        decoder=DecoderConfig(hidden_dims=(8,), latent_dim=2, output_shape=(6,)),
        kl_schedule="linear",
        kl_schedule_steps=20,
    )
    return VAE(config, rngs=nnx.Rngs(0))


@pytest.fixture
def batches(monkeypatch):
    """Record the examples of every step that any run takes."""
    seen = []
    take = Resident.take

    def recorded(self, step, most):
        feed, count = take(self, step, most)
        seen.extend(map(tuple, np.asarray(feed.indices)[:count].tolist()))
        return feed, count

    monkeypatch.setattr(Resident, "take", recorded)
    return seen


class TestManyShortCallsAreOneLongCall:
    @pytest.mark.parametrize("cuts", [(1,) * 12, (5, 4, 3)])
    def test_parameters_batches_and_optimizer(self, x, batches, cuts):
        whole, cut = annealed(), annealed()
        trainer(whole).fit(x, steps=12)
        seen = batches.copy()
        batches.clear()
        run = trainer(cut)
        for steps in cuts:
            rows = run.fit(x, steps=steps)
        assert batches == seen
        assert len({row for batch in seen[:6] for row in batch}) == 48, "an epoch repeats examples"
        assert rows[-1]["step"] == 12
        assert_same(whole, cut)

    @pytest.mark.sampled
    @pytest.mark.parametrize(
        "options",
        [
            {"average": 0.9},
            {"keep_best": True, "monitor": "kl_loss"},
            {"average": 0.9, "keep_best": True, "monitor": "kl_loss"},
            {"stream": True},
            {"nonfinite": "skip"},
        ],
        ids=" ".join,
    )
    def test_with_every_option(self, make_vqvae, make_vae, x, options, tmp_path):
        make = make_vae if "keep_best" in options else make_vqvae
        whole, cut = make(), make()
        kinds = {**options, "evaluate_every": 4}
        history = trainer(whole, **kinds).fit(x, x[:9], steps=24)
        run = trainer(cut, **kinds, folder=tmp_path)
        for _ in range(3):
            rows = run.fit(x, x[:9], steps=8)
        assert rows == history == read_rows(tmp_path / "metrics.jsonl")
        assert_same(whole, cut)

    def test_with_accumulated_gradients(self, make_vae, x):
        optimizer = create_optimizer("adamw", 1e-2, accumulate=3)
        whole, cut = make_vae(), make_vae()
        trainer(whole, optimizer=optimizer).fit(x, steps=12)
        run = trainer(cut, optimizer=optimizer)
        for _ in range(3):
            run.fit(x, steps=4)
        assert_same(whole, cut)

    def test_the_last_best_evaluation_stays_the_best(self, make_vae, x):
        """No later call may leave a worse model."""
        model = make_vae()
        run = trainer(model, keep_best=True, monitor="kl_loss", evaluate_every=4)
        run.fit(x, x[:9], steps=8)
        best = everything(model)
        rows = run.fit(x, x[:9], steps=4)
        kls = [row["kl_loss"] for row in rows if row["split"] == "validation"]
        assert kls[1] == min(kls), "the case says nothing: the last one is the best"
        assert not differ(best, everything(model))

    def test_patience_goes_on_counting(self, make_vae, x, caplog):
        options = {"keep_best": True, "monitor": "kl_loss", "patience": 3, "evaluate_every": 4}
        run = trainer(make_vae(), **options)
        for _ in range(6):
            rows = run.fit(x, x[:9], steps=4)
        assert rows[-1]["step"] == 20  # the second is the best, and three more
        assert "patience=3: the run ended at step 20 already" in caplog.text


class TestWhatTheModelHolds:
    @pytest.mark.sampled
    @pytest.mark.parametrize("options", [{}, {"average": 0.9}, {"keep_best": True}], ids=str)
    def test_changed_parameters_are_what_it_continues_from(self, make_vae, x, options):
        """The oracle: with a rate of 0 the parameters stay as they were set."""
        model = make_vae()
        run = trainer(model, optimizer=optax.sgd(0.0), **options)
        run.fit(x, x[:9], steps=4)
        kernel = model.encoder.mean_proj.kernel
        kernel[...] = kernel[...] + 1.0
        set_to = everything(model)
        rows = run.fit(x, x[:9], steps=4)
        assert rows[-1]["step"] == 8
        for a, b in zip(set_to, everything(model), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)  # the average rounds

    @pytest.mark.slow
    def test_so_with_weights_that_were_loaded(self, make_vae, x, tmp_path):
        from workshop.generative_models.models.saving import load_weights, save_weights

        other, model = make_vae(), make_vae()
        trainer(other).fit(x, steps=3)
        save_weights(other, tmp_path)
        run = trainer(model, optimizer=optax.sgd(0.0), average=0.5)
        run.fit(x, steps=4)
        load_weights(model, tmp_path)
        run.fit(x, steps=1)
        for a, b in zip(everything(other), everything(model), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)

    @pytest.mark.slow
    def test_then_earlier_evaluations_are_not_the_best(self, make_vae, x, tmp_path):
        """Nor after the run is resumed from its folder."""
        options = {"keep_best": True, "monitor": "kl_loss", "evaluate_every": 2}
        model = make_vae()
        run = trainer(model, folder=tmp_path, **options)
        run.fit(x, x[:9], steps=4)
        model.encoder.mean_proj.bias[...] = jnp.full(2, 3.0)
        rows = run.fit(x, x[:9], steps=4)
        found = trainer(model).evaluate(x[:9])["kl_loss"]
        late = [r["kl_loss"] for r in rows if r["split"] == "validation" and r["step"] > 4]
        early = [r["kl_loss"] for r in rows if r["split"] == "validation" and r["step"] <= 4]
        assert found == min(late) > max(early)
        again = make_vae()
        rows = trainer(again, folder=tmp_path, **options).fit(x, x[:9], steps=12, resume=True)
        late = [r["kl_loss"] for r in rows if r["split"] == "validation" and r["step"] > 4]
        assert trainer(again).evaluate(x[:9])["kl_loss"] == min(late)

    def test_the_models_own_random_stream_goes_on(self, make_vae, x):
        model = make_vae()
        run = trainer(model)
        run.fit(x, steps=2)
        drawn = [np.asarray(model.sample(2))]
        run.fit(x, steps=1)
        before = everything(model)
        drawn.append(np.asarray(model.sample(2)))
        assert not differ(before, everything(model))
        counts = [v[...] for _, v in nnx.to_flat_state(nnx.state(model, nnx.RngCount))]
        run.fit(x, steps=1)
        again = [v[...] for _, v in nnx.to_flat_state(nnx.state(model, nnx.RngCount))]
        np.testing.assert_array_equal(counts, again)

    @pytest.mark.slow
    def test_what_it_holds_is_kept_once(self, make_vae, x):
        """Only the optimizer's state is kept beside the model, no second copy of parameters."""
        model = make_vae()
        run = trainer(model)
        run.fit(x, steps=2)
        assert run._kept.state.params is None
        assert run._kept.state.rest is None
        old = weakref.ref(model.encoder.mean_proj.kernel[...])
        model.encoder.mean_proj.kernel[...] = jnp.ones((8, 2))
        gc.collect()
        assert old() is None

    def test_another_model_starts_over_and_says_so(self, make_vae, x, caplog):
        run = trainer(make_vae())
        run.fit(x, steps=4)
        run.model, alone = make_vae(), make_vae()
        rows = run.fit(x, steps=4)
        assert "has another model than in the last fit: training starts over" in caplog.text
        assert rows[-1]["step"] == 4
        trainer(alone).fit(x, steps=4)
        assert_same(alone, run.model)

    def test_other_layers_are_refused(self, make_vae, x):
        model = make_vae()
        run = trainer(model)
        run.fit(x, steps=2)
        model.encoder.mean_proj = nnx.Linear(8, 2, use_bias=False, rngs=nnx.Rngs(1))
        with pytest.raises(ValueError, match=r"other names or shapes .* make a new Trainer"):
            run.fit(x, steps=2)


class TestData:
    def test_other_data_continues(self, make_vae, x, batches):
        """Every call draws from its own data, from where the steps so far would have come."""
        from workshop.generative_models.data.reading import EpochOrder

        run = trainer(make_vae())
        run.fit(x, steps=4)
        rows = run.fit(x[:20] + 1, steps=4)
        assert rows[-1]["step"] == 8
        expected = EpochOrder(20, 8, 0).batches(4, 4)
        assert batches[4:] == list(map(tuple, expected.tolist()))

    def test_streams_and_arrays_may_take_turns(self, make_vae, x):
        whole, cut = make_vae(), make_vae()
        trainer(whole).fit(x, steps=8)
        run = trainer(cut)
        run.fit(x, steps=4)
        run.stream = True
        run.fit(x, steps=4)
        assert_same(whole, cut)


class TestFolder:
    @pytest.mark.slow
    def test_the_folder_of_its_own_run_is_continued(self, make_vae, x, tmp_path):
        whole, model, resumed = make_vae(), make_vae(), make_vae()
        trainer(whole).fit(x, steps=16)
        run = trainer(model, folder=tmp_path)
        run.fit(x, steps=6)
        run.fit(x, steps=6)
        trainer(resumed, folder=tmp_path).fit(x, steps=16, resume=True)
        assert_same(whole, resumed)

    def test_resume_counts_steps_in_all_and_reads_the_folder(self, make_vae, x, tmp_path):
        whole, model = make_vae(), make_vae()
        trainer(whole).fit(x, steps=12)
        run = trainer(model, folder=tmp_path)
        run.fit(x, steps=6)
        model.encoder.mean_proj.bias[...] = jnp.ones(2)  # given up for what the checkpoint holds
        assert run.fit(x, steps=12, resume=True)[-1]["step"] == 12
        assert_same(whole, model)
        assert run.fit(x, steps=12, resume=True)[-1]["step"] == 12  # nothing is left to do
        with pytest.raises(ValueError, match=r"steps=11: the run in .* is at step 12 already"):
            run.fit(x, steps=11, resume=True)

    def test_a_run_that_somebody_else_continued_is_not_overwritten(self, make_vae, x, tmp_path):
        run = trainer(make_vae(), folder=tmp_path)
        run.fit(x, steps=4)
        trainer(make_vae(), folder=tmp_path).fit(x, steps=8, resume=True)
        with pytest.raises(FileExistsError, match="a run at step 8, and this trainer is at step 4"):
            run.fit(x, steps=2)

    def test_a_folder_that_was_deleted_is_written_anew(self, make_vae, x, tmp_path):
        import shutil

        run = trainer(make_vae(), folder=tmp_path / "run")
        run.fit(x, steps=4)
        shutil.rmtree(tmp_path / "run")
        rows = run.fit(x, steps=4)
        assert read_rows(tmp_path / "run" / "metrics.jsonl") == rows
        assert [row["step"] for row in rows] == [4, 8]


class TestAfterAnEnd:
    def at_step(self, step, action):
        class Act(Callback):
            def on_row(self, row):
                if row["step"] == step:
                    action()

        return Act()

    def stop(self):
        raise StopTraining("enough")

    @pytest.mark.parametrize("how", ["signal", "callback"])
    def test_after_a_stop(self, make_vae, x, how):
        whole, cut = make_vae(), make_vae()
        trainer(whole).fit(x, steps=12)
        if how == "signal":
            run = trainer(
                cut, callbacks=[self.at_step(8, lambda: os.kill(os.getpid(), signal.SIGINT))]
            )
            with pytest.raises(Stopped) as stopped:
                run.fit(x, steps=50)
            done = stopped.value.step
        else:
            run = trainer(cut, callbacks=[self.at_step(8, self.stop)])
            done = run.fit(x, steps=50)[-1]["step"]
        assert done == 8
        run.fit(x, steps=4)
        assert_same(whole, cut)

    def test_after_a_loss_that_is_not_finite(self, make_vae, x):
        """The failed call leaves model and trainer as they were: the next one takes its place."""
        whole, cut = make_vae(), make_vae()
        trainer(whole).fit(x, steps=8)
        run = trainer(cut)
        run.fit(x, steps=4)
        for bad in (np.full_like(x, 1e30), x * np.array([[1e30]] * 30 + [[1.0]] * 20, np.float32)):
            with pytest.raises(FloatingPointError):
                run.fit(bad, steps=4)
        run.fit(x, steps=4)
        assert_same(whole, cut)

    def test_after_data_that_was_refused(self, make_vae, x):
        whole, cut = make_vae(), make_vae()
        trainer(whole).fit(x, steps=8)
        run = trainer(cut)
        run.fit(x, steps=4)
        with pytest.raises(ValueError, match="shape"):
            run.fit(x[:, :5], steps=4)
        run.fit(x, steps=4)
        assert_same(whole, cut)
