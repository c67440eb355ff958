"""What a trainer refuses, names or survives, each once a defect."""

import contextlib
import logging
import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.data.reading import EpochOrder
from workshop.generative_models.training import Callback, Stopped, Trainer, create_optimizer

ADAM = optax.adam(1e-2)


def trainer(model, **options):
    return Trainer(
        model, **{"optimizer": ADAM, "batch_size": 8, "log_every": 5, "progress": False, **options}
    )


def arrays(model):
    return [np.asarray(a) for a in jax.tree.leaves(nnx.state(model, nnx.Param))]


def test_a_run_goes_on_with_its_own_data_only(make_vae, x, tmp_path):
    trainer(make_vae(), folder=tmp_path).fit(x, steps=5)
    with pytest.raises(ValueError, match=r"is of a run with data="):
        trainer(make_vae(), folder=tmp_path).fit(1 - x, steps=9, resume=True)
    with pytest.raises(ValueError, match=r"is of a run with average=None, not 0.9"):
        trainer(make_vae(), folder=tmp_path, average=0.9).fit(x, steps=9, resume=True)


@pytest.mark.slow
def test_a_failure_that_was_left_out_does_not_stop_who_goes_on(make_vae, x, tmp_path):
    huge = x.copy()
    huge[7] = 1e30
    failing = np.flatnonzero((EpochOrder(50, 8, 0).batches(0, 20) == 7).any(1))
    begin = int(failing[0]) + 1
    assert begin < failing[1], "the case says nothing: the next step fails too"
    rows = trainer(make_vae(), folder=tmp_path, nonfinite="skip").fit(huge, steps=begin)
    assert rows[-1]["skipped"] == 1
    with pytest.raises(FloatingPointError, match=rf"step {failing[1]}:"):
        trainer(make_vae(), folder=tmp_path).fit(huge, steps=20, resume=True)


def test_an_update_that_is_not_finite_is_never_saved(make_vae, x, tmp_path):
    run = trainer(
        make_vae(), optimizer=optax.sgd(float("nan")), folder=tmp_path, checkpoint_every=1
    )
    with pytest.raises(FloatingPointError, match=r"step 1: the update made the parameter "):
        run.fit(x, steps=1)
    assert not [path for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()]


def test_a_row_of_steps_that_were_all_left_out_has_no_mean(make_vae, x, caplog):
    huge = x.copy()
    huge[7] = 1e30
    failing = int(np.flatnonzero((EpochOrder(50, 8, 0).batches(0, 5) == 7).any(1))[0])
    rows = trainer(make_vae(), nonfinite="skip", log_every=1).fit(huge, steps=5)
    assert np.isnan(rows[failing]["loss"])
    assert rows[-1]["skipped"] == 1
    assert sum(np.isnan(row["loss"]) for row in rows) == 1
    assert caplog.text.count("all updates since the last row were left out") == 1
    assert f"step {failing + 1}: all updates" in caplog.text


class TestAllUpdatesLeftOut:
    """A run that learns nothing is an error, at the end of the first epoch or of a shorter run."""

    @pytest.mark.parametrize(("steps", "noticed"), [(3, 3), (5, 5), (400, 10)])
    def test_it_is_an_error(self, make_vae, x, weights, steps, noticed):
        model = make_vae()
        before = weights(model)
        run = trainer(model, nonfinite="skip")  # 50 examples by 8, a row every 5 steps
        with pytest.raises(FloatingPointError, match=rf"all {noticed} updates .* learned nothing"):
            run.fit(np.full_like(x, 1e30), steps=steps)
        for a, b in zip(before, weights(model), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_it_names_what_is_not_finite(self, make_vae, x):
        run = trainer(make_vae(), nonfinite="skip")
        with pytest.raises(
            FloatingPointError, match=r"step 2: the (output|loss) .* scale the data"
        ):
            run.fit(np.full_like(x, 1e30), steps=3)

    def test_so_it_is_in_a_later_call(self, make_vae, x):
        run = trainer(make_vae(), nonfinite="skip")
        run.fit(x, steps=5)
        with pytest.raises(FloatingPointError, match="all 5 updates"):
            run.fit(np.full_like(x, 1e30), steps=5)
        assert run.fit(x, steps=5)[-1]["step"] == 10


def test_a_callback_gets_copies(make_vae, x):
    kept = []

    class Keeps(Callback):
        def on_row(self, row):
            row["loss"] = 0.0

        def on_evaluation(self, step, model):
            kept.append(model)

    alone, heard = make_vae(), make_vae()
    options = {"evaluate_every": 5, "keep_best": True}
    expected = trainer(alone, **options).fit(x, x[:9], steps=20)
    assert trainer(heard, callbacks=[Keeps()], **options).fit(x, x[:9], steps=20) == expected
    for a, b in zip(arrays(alone), arrays(heard), strict=True):
        np.testing.assert_array_equal(a, b)
    first, last = arrays(kept[0]), arrays(kept[-1])
    assert any((a != b).any() for a, b in zip(first, last, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [optax.apply_if_finite(optax.adam(1e-2), 3), optax.noisy_sgd(1e-3, key=7)],
    ids=["a flag in its state", "a random key in its state"],
)
def test_any_optimizer_can_be_resumed(make_vae, x, tmp_path, optimizer):
    whole, parts = make_vae(), make_vae()
    trainer(whole, optimizer=optimizer).fit(x, steps=10)
    trainer(parts, optimizer=optimizer, folder=tmp_path).fit(x, steps=5)
    again = make_vae()
    trainer(again, optimizer=optimizer, folder=tmp_path).fit(x, steps=10, resume=True)
    for a, b in zip(arrays(whole), arrays(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_stopped_before_the_first_evaluation_what_was_learned_is_kept(make_vae, x):
    class Stop(Callback):
        def on_row(self, row):
            os.kill(os.getpid(), signal.SIGINT)

    model = make_vae()
    before = arrays(model)
    run = trainer(model, keep_best=True, evaluate_every=1000, callbacks=[Stop()])
    with pytest.raises(Stopped):
        run.fit(x, x[:9], steps=2000)
    assert any((a != b).any() for a, b in zip(before, arrays(model), strict=True))


def test_bad_input_is_named(make_vae, x, tmp_path):
    run = trainer(make_vae())
    with pytest.raises(ValueError, match=r"lengths \{'x': 50, 'y': 49\}"):
        run.fit({"x": x, "y": np.zeros(49, np.int32)}, steps=1)
    with pytest.raises(ValueError, match=r"holds no examples"):
        run.fit(x[:, :0], steps=1)
    with pytest.raises(ValueError, match=r"holds no examples"):
        run.fit(np.float32(1), steps=1)
    with pytest.raises(ValueError, match=r"resume=True needs the folder"):
        run.fit(x, steps=1, resume=True)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot be made .*choose another"):
        trainer(make_vae(), folder=tmp_path / "file").fit(x, steps=1)
    with pytest.raises(ValueError, match=r"final=0.5 with schedule='constant'"):
        create_optimizer(final=0.5)
    with pytest.raises(ValueError, match=r"warmup_steps=100: expected 0 <= warmup_steps < 100"):
        create_optimizer(warmup_steps=100, accumulate=10, steps=100)


def test_a_short_warmup_survives_accumulation():
    """Three steps of warm-up by fours are one update from zero."""
    optimizer = create_optimizer("sgd", 1.0, warmup_steps=3, accumulate=4, steps=40)
    params, gradient = jnp.zeros(()), jnp.ones(())
    state, moves = optimizer.init(params), []
    for _ in range(8):
        update, state = optimizer.update(gradient, state, params)
        moves.append(float(update))
    assert moves == [0, 0, 0, 0, 0, 0, 0, pytest.approx(-1.9)]  # momentum 0.9 of two gradients


def test_a_save_that_waits_for_the_disk_says_nothing(make_vae, x, tmp_path, caplog):
    """Orbax warns of what the loop does on purpose; what else it warns of is heard."""
    trainer(make_vae(), folder=tmp_path).fit(x, steps=5)
    absl = logging.getLogger("absl")
    with caplog.at_level("WARNING", "absl"):
        absl.warning("Waiting for previous save to complete took %f seconds. If this", 2.0)
        absl.warning("another thing")
    assert caplog.messages == ["another thing"]


@pytest.mark.parametrize("end", [None, Stopped, RuntimeError])
def test_however_a_run_ends_the_model_is_in_evaluation_mode(make_vqvae, x, end):
    class Watch(Callback):
        def on_evaluation(self, step, model):
            assert model.deterministic
            if end is Stopped:
                os.kill(os.getpid(), signal.SIGINT)
            elif end is RuntimeError:
                raise RuntimeError("of a callback")

    model = make_vqvae()
    assert not model.deterministic  # training mode, as a new module is
    run = trainer(model, evaluate_every=1, callbacks=[Watch()])
    with contextlib.nullcontext() if end is None else pytest.raises(end):
        run.fit(x, x[:9], steps=4)
    assert model.deterministic


@pytest.mark.parametrize("seed", ["1", None, 2.0, -1, 2**31])
def test_a_seed_is_a_number(seed, make_vae):
    with pytest.raises((ValueError, TypeError), match="seed"):
        Trainer(make_vae(), seed=seed)


@pytest.mark.parametrize(
    "options", [{"average": "0.9"}, {"keep_best": "no"}, {"stream": "yes"}, {"folder": 3}], ids=str
)
def test_other_types_are_refused_by_name(options, make_vae):
    """In the tests by the annotations too, which name the argument as well."""
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        Trainer(make_vae(), **options)


def test_a_trainer_runs_in_one_thread_at_a_time(make_vae, x):
    """Two at once would each begin at step 0, and the model would keep one of them."""
    started, go_on, run = threading.Event(), threading.Event(), trainer(make_vae())

    class Waits(Callback):
        def on_row(self, row):
            started.set()
            go_on.wait(60)

    run.callbacks = (Waits(),)
    thread = threading.Thread(target=lambda: run.fit(x, steps=5))
    thread.start()
    started.wait(60)
    with pytest.raises(ValueError, match=r"fit is running already: .* another thread"):
        run.fit(x, steps=5)
    go_on.set()
    thread.join(60)
    assert run.fit(x, steps=5)[-1]["step"] == 10


def test_a_home_is_expanded(make_vae, x, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    trainer(make_vae(), folder="~/run").fit(x, steps=5)
    assert (tmp_path / "run" / "metrics.jsonl").is_file()


@pytest.mark.parametrize("line", ["{broken", "[1, 2]", '{"split": "train"}', '{"step": "3"}'])
def test_a_damaged_row_of_metrics_is_named(make_vae, x, tmp_path, line):
    trainer(make_vae(), folder=tmp_path).fit(x, steps=5)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text(f"{line}\n" + metrics.read_text())
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 1 is no row of metrics"):
        trainer(make_vae(), folder=tmp_path).fit(x, steps=9, resume=True)
