"""Whatever ends a run, what was learned until then stays, and the error says at which step."""

import io
import sys

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from workshop.generative_models.data.reading import EpochOrder
from workshop.generative_models.tracking import loggers
from workshop.generative_models.tracking.callbacks import checked
from workshop.generative_models.tracking.trackers import Tracker
from workshop.generative_models.training import Callback, StopTraining, Trainer
from workshop.generative_models.training.checkpoint import Checkpoints

OPTIONS = {
    "optimizer": optax.adam(1e-2), "batch_size": 8, "log_every": 4, "evaluate_every": 4,
    "checkpoint_every": 1000, "progress": False,
}  # fmt: skip
STEPS, ENDS = 16, 8


class BrokenError(Exception):
    pass


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    from workshop.generative_models.data import reading

    monkeypatch.setattr(reading, "CHUNK_BYTES", 1)  # two batches a chunk


def arrays(model):
    state = nnx.state(model, nnx.Not(nnx.RngState))
    return [np.asarray(a) for a in jax.tree.leaves(state)]


@pytest.fixture
def reference(make_vae, x):
    """Return the arrays of a model that was trained for some steps without an interruption."""
    known = {}

    def after(steps):
        if steps not in known:
            model = make_vae()
            Trainer(model, **OPTIONS).fit(x, x[:9], steps=steps)
            known[steps] = arrays(model)
        return known[steps]

    return after


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def notes(error):
    return " ".join(error.__notes__)


class Raises(Callback):
    """Raise an exception at one step of one event."""

    def __init__(self, event, error, step=ENDS, split="train"):
        self.event, self.error, self.step, self.split = event, error, step, split

    def on_start(self, step):
        if self.event == "on_start":
            raise self.error

    def on_row(self, row):
        if (self.event, self.step, self.split) == ("on_row", row["step"], row["split"]):
            raise self.error

    def on_evaluation(self, step, model):
        if (self.event, self.step) == ("on_evaluation", step):
            raise self.error

    def on_end(self):
        if self.event == "on_end":
            raise self.error


class Broken:
    """Rows that cannot be read for the fourth chunk, steps 6 and 7."""

    rows = frozenset(EpochOrder(50, 8, 0).batches(6, 2).ravel().tolist())

    def __init__(self, x, error):
        self.x, self.error, self.shape, self.dtype = x, error, x.shape, x.dtype

    def __len__(self):
        return len(self.x)

    def __getitem__(self, rows):
        if not isinstance(rows, slice) and set(rows.tolist()) == self.rows:
            raise self.error
        return self.x[rows]


class TestCallbacks:
    @pytest.mark.sampled
    @pytest.mark.parametrize(
        ("event", "split", "error"),
        [
            ("on_row", "train", BrokenError("no")),
            ("on_row", "validation", MemoryError()),
            ("on_evaluation", None, FloatingPointError("of the user")),
            ("on_row", "train", SystemExit(3)),
        ],
        ids=str,
    )
    def test_an_exception_keeps_what_was_learned(
        self, make_vae, x, reference, tmp_path, event, split, error
    ):
        heard = []

        class Hears(Callback):
            def on_row(self, row):
                heard.append((row["step"], row["split"]))

            def on_end(self):
                heard.append("end")

        alone, stored = make_vae(), make_vae()
        for model, folder in ((alone, None), (stored, tmp_path)):
            heard.clear()
            callbacks = [Raises(event, type(error)(*error.args), split=split), Hears()]
            run = Trainer(model, **OPTIONS, folder=folder, callbacks=callbacks)
            with pytest.raises(type(error)) as caught:
                run.fit(x, x[:9], steps=STEPS)
            assert caught.value.args == error.args
            assert f"raised by Raises.{event} at step {ENDS}" in notes(caught.value)
            assert f"training ended at step {ENDS} of {STEPS}; the model" in notes(caught.value)
            assert heard[-2:] == [(ENDS, "validation"), "end"]  # the step is finished first
            assert_same(arrays(model), reference(ENDS))
        assert "so does the checkpoint in" in notes(caught.value)
        resumed = make_vae()
        run = Trainer(resumed, **OPTIONS, folder=tmp_path)
        rows = run.fit(x, x[:9], steps=STEPS, resume=True)
        assert rows == Trainer(make_vae(), **OPTIONS).fit(x, x[:9], steps=STEPS)
        assert_same(arrays(resumed), reference(STEPS))

    def test_at_the_start_nothing_is_learned_and_who_started_is_ended(self, make_vae, x):
        told = []

        class First(Callback):
            def on_end(self):
                told.append("end")

        callbacks = [First(), Raises("on_start", BrokenError())]
        with pytest.raises(BrokenError) as caught:
            Trainer(make_vae(), **OPTIONS, callbacks=callbacks).fit(x, steps=4)
        assert notes(caught.value) == "raised by Raises.on_start at step 0"
        assert told == ["end"]

    def test_at_the_end_the_model_is_trained(self, make_vae, x, reference):
        model, callbacks = make_vae(), [Raises("on_end", BrokenError()), Raises("", None)]
        with pytest.raises(BrokenError) as caught:
            Trainer(model, **OPTIONS, callbacks=callbacks).fit(x, x[:9], steps=ENDS)
        assert notes(caught.value) == "raised by Raises.on_end; the model holds what was learned"
        assert_same(arrays(model), reference(ENDS))

    def test_the_first_of_several_exceptions_is_raised(self, make_vae, x, caplog):
        callbacks = [
            Raises("on_row", BrokenError("first")),
            Raises("on_evaluation", ValueError("second")),
            Raises("on_end", ValueError("third")),
        ]
        with pytest.raises(BrokenError, match="first"):
            Trainer(make_vae(), **OPTIONS, callbacks=callbacks).fit(x, x[:9], steps=STEPS)
        assert "raised by Raises.on_end" in caplog.text

    def test_a_tracker_is_one_of_them(self, make_vae, x, reference):
        class Offline(Tracker):
            def numbers(self, step, values):
                if step == ENDS:
                    raise ConnectionError("offline")

        model = make_vae()
        with pytest.raises(ConnectionError, match="offline") as caught:
            Trainer(model, **OPTIONS, callbacks=[Offline()]).fit(x, x[:9], steps=STEPS)
        assert "raised by Offline.on_row at step 8" in notes(caught.value)
        assert_same(arrays(model), reference(ENDS))


class TestTheTrainerInsideOfACallback:
    def test_evaluate_sees_the_weights_of_the_moment(self, make_vae, x):
        found, given = [], []

        class Evaluates(Callback):
            def on_evaluation(self, step, model):
                found.append(run.evaluate(x[:9])["loss"])

            def on_row(self, row):
                if row["split"] == "validation":
                    given.append(row["loss"])

        run = Trainer(make_vae(), **OPTIONS, callbacks=[Evaluates()])
        run.fit(x, x[:9], steps=ENDS)
        assert found == given
        assert run.evaluate(x[:9])["loss"] == given[-1] != given[0]

    def test_fit_is_refused(self, make_vae, x):
        class Fits(Callback):
            def on_row(self, row):
                run.fit(x, steps=1)

        run = Trainer(make_vae(), **OPTIONS, callbacks=[Fits()])
        with pytest.raises(ValueError, match="fit is running already"):
            run.fit(x, steps=ENDS)
        run.callbacks = ()
        assert run.fit(x, steps=1)[-1]["step"] == 5

    def test_a_row_begins_where_an_interrupted_one_ended(self, make_vae, x):
        """The oracle: the means of an uninterrupted run."""
        expected = Trainer(make_vae(), **OPTIONS).fit(x, x[:9], steps=STEPS)
        run = Trainer(make_vae(), **OPTIONS, callbacks=[Raises("on_row", KeyboardInterrupt())])
        with pytest.raises(KeyboardInterrupt):
            run.fit(x, x[:9], steps=STEPS)
        run.callbacks = ()
        assert run.fit(x, x[:9], steps=STEPS - ENDS) == expected


class TestStopTraining:
    @pytest.mark.parametrize("event", ["on_row", "on_evaluation"])
    def test_it_ends_a_run_and_keeps_it(self, make_vae, x, reference, tmp_path, event, caplog):
        model = make_vae()
        callbacks = [Raises(event, StopTraining("good enough"))]
        run = Trainer(model, **OPTIONS, folder=tmp_path, callbacks=callbacks)
        with caplog.at_level("INFO", "workshop"):
            rows = run.fit(x, x[:9], steps=STEPS)
        assert rows[-1]["step"] == ENDS
        assert rows[-1]["split"] == "validation"
        assert "a callback ended training at step 8: good enough" in caplog.text
        assert (tmp_path / "checkpoints" / str(ENDS)).is_dir()
        assert_same(arrays(model), reference(ENDS))
        run.fit(x, x[:9], steps=STEPS - ENDS)
        assert_same(arrays(model), reference(STEPS))

    def test_at_the_start_no_step_is_taken(self, make_vae, x):
        model = make_vae()
        before = arrays(model.encoder)  # the decoder's initial bias is the data's mean
        run = Trainer(model, **OPTIONS, callbacks=[Raises("on_start", StopTraining())])
        assert run.fit(x, steps=STEPS) == []
        assert_same(arrays(model.encoder), before)


class TestData:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "error", [BrokenError("disk"), OSError("gone"), MemoryError(), ValueError("image 3")],
        ids=lambda error: type(error).__name__,
    )  # fmt: skip
    def test_a_source_that_raises_halfway_keeps_what_was_learned(
        self, make_vae, x, reference, tmp_path, error
    ):
        model = make_vae()
        run = Trainer(model, **OPTIONS, folder=tmp_path, stream=True)
        with pytest.raises(type(error)) as caught:
            run.fit(Broken(x, error), x[:9], steps=STEPS)
        assert f"training ended at step 6 of {STEPS}; the model holds" in notes(caught.value)
        assert_same(arrays(model), reference(6))
        run = Trainer(make_vae(), **OPTIONS, folder=tmp_path, stream=True)
        rows = run.fit(x, x[:9], steps=STEPS, resume=True)
        assert rows == Trainer(make_vae(), **OPTIONS).fit(x, x[:9], steps=STEPS)

    def test_so_does_one_that_raises_in_an_evaluation(self, make_vae, x, reference, tmp_path):
        class Held(Broken):
            evaluations = 0

            def __getitem__(self, rows):
                if np.arange(9)[rows].tolist() == list(range(8)):  # the first batch of it
                    self.evaluations += 1
                    if self.evaluations == 2:
                        raise self.error
                return self.x[rows]

        model = make_vae()
        run = Trainer(model, **OPTIONS, folder=tmp_path)
        with pytest.raises(BrokenError) as caught:
            run.fit(x, Held(x[:9], BrokenError()), steps=STEPS)
        assert f"training ended at step {ENDS} of {STEPS}" in notes(caught.value)
        assert_same(arrays(model), reference(ENDS))
        # The evaluation that is missing is made up for.
        run = Trainer(make_vae(), **OPTIONS, folder=tmp_path)
        rows = run.fit(x, x[:9], steps=STEPS, resume=True)
        assert rows == Trainer(make_vae(), **OPTIONS).fit(x, x[:9], steps=STEPS)


class TestWriting:
    @pytest.mark.parametrize("what", ["metrics", "checkpoint"])
    def test_a_full_disk_costs_nothing_of_the_model(
        self, make_vae, x, reference, tmp_path, monkeypatch, what
    ):
        model, learned = make_vae(), reference(ENDS)

        def full(*args, **options):
            raise OSError(28, "No space left on device")

        if what == "metrics":
            run = Trainer(model, **OPTIONS, folder=tmp_path)
            run.fit(x, x[:9], steps=4)
            monkeypatch.setattr(loggers.History, "add", full)
        else:
            run = Trainer(model, **OPTIONS | {"checkpoint_every": ENDS}, folder=tmp_path)
            run.fit(x, x[:9], steps=4)
            monkeypatch.setattr(Checkpoints, "_manager", property(lambda self: Full()))
        with pytest.raises(OSError, match=r"step 8 could not be written .* checkpoint") as caught:
            run.fit(x, x[:9], steps=STEPS - 4)
        assert f"training ended at step {ENDS} of {STEPS}; the model holds" in notes(caught.value)
        assert_same(arrays(model), learned)
        monkeypatch.undo()
        run.fit(x, x[:9], steps=STEPS - ENDS)
        assert_same(arrays(model), reference(STEPS))

    @pytest.mark.parametrize("how", ["closed", "ascii", "nobody reads"])
    def test_a_terminal_that_cannot_be_drawn_on_costs_only_the_bar(
        self, make_vae, x, monkeypatch, how, caplog
    ):
        terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        if how == "closed":
            terminal.close()
        elif how == "nobody reads":
            terminal.write = Pipe().write
        monkeypatch.setattr(loggers, "_SECONDS_A_DRAWING", 0.0)
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("FORCE_COLOR", "1")
        run = Trainer(make_vae(), **OPTIONS | {"progress": True})
        assert run.fit(x, steps=ENDS)[-1]["step"] == ENDS
        assert ("the progress bar is switched off" in caplog.text) == (how != "ascii")


class Full:
    """A manager of checkpoints on a full disk."""

    def latest_step(self):
        return 4

    def save(self, *args, **options):
        raise OSError(28, "No space left on device")

    def close(self):
        pass


class Pipe:
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def some_function(row):
    pass


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([some_function], r"callbacks\[0\]=<function some_function.*subclass Callback .*on_row"),
        ([print], r"callbacks\[0\]=<built-in function print>: expected a Callback"),
        ([Callback(), 3], r"callbacks\[1\]=3: expected a Callback"),
        ([Callback], r"callbacks\[0\]=Callback: expected an object, not a class"),
        (some_function, r"callbacks=<function .*: expected a list"),
        (Callback(), r"expected a list of Callback objects"),
        ("tensorboard", r"callbacks='tensorboard': expected a list"),
        (None, r"callbacks=None: expected a list"),
    ],
)
def test_what_is_no_callback_is_refused(callbacks, message):
    # What Trainer calls: its own annotation is checked before, in the tests.
    with pytest.raises(TypeError, match=message):
        checked(callbacks)
