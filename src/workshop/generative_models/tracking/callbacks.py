"""Callbacks: user code that is called while a model trains."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_log = logging.getLogger("workshop")
Row = dict[str, Any]
"""One line of metrics: step, split ("train" or "validation"), and the metrics by name."""

_EVENTS = ("on_start", "on_row", "on_evaluation", "on_end")


class Callback:
    """Base class of callbacks: override the methods you need.

    The trainer calls them between two calls of the compiled loop. They receive copies, so that runs
    with and without callbacks give the same bits. `StopTraining` ends the run; any other exception
    ends it too, after the step's work is finished and a checkpoint is written, and is then raised
    by `Trainer.fit`. Either way the model keeps what it has learned.

    Examples:
        >>> class Printer(Callback):
        ...     def on_row(self, row):
        ...         print(row["step"], row["split"], round(row["elbo"], 2))
    """

    def on_start(self, step: int) -> None:
        """Called when training starts, or continues after `step` steps."""

    def on_row(self, row: Row) -> None:
        """Called with a row of metrics: means since the last row, or over the validation data."""

    def on_evaluation(self, step: int, model: Any) -> None:
        """Called with a copy of the model just evaluated on the validation data.

        The copy is in evaluation mode.
        """

    def on_end(self) -> None:
        """Called when training ends, for whatever reason."""


class StopTraining(Exception):
    """Raise it in a callback to end training: `Trainer.fit` returns, and the model is kept.

    The run ends after the step's remaining callbacks and checkpoint, as it does by `patience`. A
    later call of `fit` continues from there.

    Examples:
        >>> class GoodEnough(Callback):
        ...     def on_row(self, row):
        ...         if row["split"] == "validation" and row["elbo"] > -80:
        ...             raise StopTraining(f"the ELBO is {row['elbo']:.1f}")
    """


class Callbacks:
    """The callbacks of a run, the first exception of one, and the `StopTraining` of one.

    An exception is kept until the trainer has finished the step, so that a checkpoint of that step
    is complete; the other callbacks are still called.
    """

    def __init__(self, callbacks: Iterable[Callback]):
        self.all = tuple(callbacks)
        self.error: BaseException | None = None
        self.stop: StopTraining | None = None

    @contextlib.contextmanager
    def listening(self, step: int) -> Iterator[None]:
        """Call `on_start`, and after the block `on_end`, whatever happens in it."""
        started: list[Callback] = []
        try:
            for callback in self.all:
                self._start(callback, step)
                started.append(callback)
            yield
        except BaseException:
            for error in self._end(started):
                _log.warning("%s: %r", error.__notes__[-1], error)
            raise
        for error in self._end(started):
            raise error

    def _start(self, callback: Callback, step: int) -> None:
        try:
            callback.on_start(step)
        except StopTraining as stop:
            self.stop = stop
        except Exception as error:
            error.add_note(f"raised by {type(callback).__name__}.on_start at step {step:,}")
            raise

    def _end(self, started: list[Callback]) -> list[Exception]:
        errors = []
        for callback in started:
            try:
                callback.on_end()
            except StopTraining:
                pass
            except Exception as error:
                error.add_note(
                    f"raised by {type(callback).__name__}.on_end; the model holds what was learned"
                )
                errors.append(error)
        return errors

    def row(self, row: Row) -> None:
        """Call `on_row`, each with a copy of the row."""
        self._call("on_row", row["step"], lambda callback: callback.on_row(dict(row)))

    def evaluation(self, step: int, model: Any) -> None:
        """Call `on_evaluation`."""
        self._call("on_evaluation", step, lambda callback: callback.on_evaluation(step, model))

    def _call(self, event: str, step: int, function: Callable[[Callback], None]) -> None:
        for callback in self.all:
            try:
                function(callback)
            except StopTraining as stop:
                self.stop = stop
            except (Exception, SystemExit) as error:
                error.add_note(f"raised by {type(callback).__name__}.{event} at step {step:,}")
                self.error = self.error or error


def checked(callbacks: Any) -> tuple[Callback, ...]:
    """Return callbacks as a tuple, or raise a TypeError for anything but `Callback` objects."""
    if not isinstance(callbacks, Iterable) or isinstance(callbacks, (str, dict)):
        raise TypeError(
            f"callbacks={callbacks!r}: expected a list of Callback objects, such as "
            "callbacks=[callback]"
        )
    found = tuple(callbacks)
    for i, callback in enumerate(found):
        if isinstance(callback, type):
            raise TypeError(
                f"callbacks[{i}]={callback.__name__}: expected an object, not a class: pass "
                f"{callback.__name__}(...)"
            )
        missing = [name for name in _EVENTS if not callable(getattr(callback, name, None))]
        if missing:
            raise TypeError(
                f"callbacks[{i}]={callback!r}: expected a Callback; subclass Callback and define "
                "one or more of on_start(step), on_row(row), on_evaluation(step, model), on_end()"
                + (", such as on_row(self, row), in place of a function" * callable(callback))
            )
        for name in sorted(dir(type(callback))):
            if name.startswith("on_") and name not in _EVENTS:
                _log.warning(
                    "callbacks[%d]: %s.%s is never called; the trainer calls %s",
                    i, type(callback).__name__, name, ", ".join(_EVENTS),
                )  # fmt: skip
    return found
