"""A progress bar, and the history of a run with its metrics file."""

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from workshop.generative_models.core.files import write_text
from workshop.generative_models.core.metrics import METRICS
from workshop.generative_models.tracking.callbacks import Callbacks, Row

_log = logging.getLogger("workshop")
_SECONDS_A_DRAWING = 0.4
_SHOWN = ("elbo", "reconstruction_loss", "kl_loss")


class ProgressBar:
    """A bar with the latest ELBO, reconstruction and KL, in nats per example."""

    def __init__(self, total: int, *, start: int = 0, enabled: bool = True):
        self._progress = Progress(
            TextColumn("[bold]training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=_Console(stderr=True),
            disable=not enabled,
            # Drawing takes milliseconds of a core that the loop could use: not ten times a second.
            auto_refresh=False,
        )
        self._drawn = 0.0
        self._task = self._progress.add_task("", total=total, completed=start, metrics="compiling")

    def __enter__(self) -> "ProgressBar":
        self._draw(self._progress.start)
        self._draw(self._progress.refresh)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._draw(self._progress.stop)

    def update(self, step: int, metrics: dict[str, float]) -> None:
        """Move the bar to `step` and show the metrics."""
        shown = "  ".join(f"{METRICS[k].label} {metrics[k]:.2f}" for k in _SHOWN if k in metrics)
        self._progress.update(self._task, completed=step, metrics=shown)
        if time.monotonic() - self._drawn > _SECONDS_A_DRAWING or self._progress.finished:
            self._draw(self._progress.refresh)
            self._drawn = time.monotonic()

    def _draw(self, draw: Callable[[], None]) -> None:
        """Draw, unless the terminal is gone or cannot show it: training goes on without a bar."""
        if self._progress.disable:
            return
        try:
            draw()
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError, ValueError):
                self._progress.stop()  # which restores the terminal
            self._progress.disable = True
            _log.warning("the progress bar is switched off: %s", error)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end the process.
        raise BrokenPipeError("nobody reads it any more")


class History:
    """The rows of a run, passed to the callbacks, and appended to a JSON-lines file.

    Each is flushed to disk, so that a killed run keeps them.

    Args:
        path: the file, which begins with `before`; None writes nothing.
        before: the rows of the run so far.
        callbacks: called with each row.
    """

    def __init__(self, path: Path | None, before: Iterable[Row], callbacks: Callbacks):
        self.path, self.callbacks, self.all = path, callbacks, list(before)
        if path is not None:
            write_text("".join(map(_line, self.all)), path)

    def add(self, step: int, split: str, metrics: dict[str, float]) -> None:
        """Add a row of means over the steps since the last one, or over the validation data."""
        # What is not finite is null in the file, and NaN when it is read back.
        known = {k: v if math.isfinite(v) else math.nan for k, v in metrics.items()}
        row = {"step": step, "split": split, **known}
        self.all.append(row)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(row))
                file.flush()
                os.fsync(file.fileno())
        self.callbacks.row(row)


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a metrics file; a last line that was cut off is left out.

    Raises:
        ValueError: if another line is damaged.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = enumerate((line for line in lines if line.endswith("\n")), start=1)
    rows = [_row(line, f"{path}, line {number}") for number, line in whole]
    return [{k: math.nan if v is None else v for k, v in row.items()} for row in rows]


def _row(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        raise ValueError(f"{where} is no row of metrics: repair it, or delete the line")
    return row


def _line(row: Row) -> str:
    # JSON knows no NaN: a metric without a value is null.
    clean = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()
    }
    return json.dumps(clean) + "\n"
