"""Where metrics go while a model trains: a progress bar, and a file of rows."""

import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from workshop.generative_models.core.files import write_text
from workshop.generative_models.tracking.callbacks import Callback, Row

SECONDS_A_DRAWING = 0.4
_SHOWN = {"elbo": "ELBO", "reconstruction_loss": "reconstruction", "kl_loss": "KL"}


class ProgressBar:
    """A bar with the latest ELBO, reconstruction and KL, in nats per example."""

    def __init__(self, total: int, *, start: int = 0, enabled: bool = True):
        self._progress = Progress(
            TextColumn("[bold]training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=Console(stderr=True),
            disable=not enabled,
            # Drawing takes milliseconds of a core that the loop could use: not ten times a second.
            auto_refresh=False,
        )
        self._drawn = 0.0
        self._task = self._progress.add_task("", total=total, completed=start, metrics="compiling")

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        self._progress.refresh()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, step: int, metrics: dict[str, float]) -> None:
        """Move the bar to `step` and show the metrics."""
        shown = "  ".join(f"{_SHOWN[k]} {metrics[k]:.2f}" for k in _SHOWN if k in metrics)
        self._progress.update(self._task, completed=step, metrics=shown)
        if time.monotonic() - self._drawn > SECONDS_A_DRAWING or self._progress.finished:
            self._progress.refresh()
            self._drawn = time.monotonic()


class MetricsFile:
    """Rows appended to a JSON-lines file, each flushed to disk, so that a killed run keeps them.

    Args:
        path: the file.
        last_step: rows after this step, which a resumed run will write again, are dropped; None
            starts anew.
        write: False only reads, as all but one of several processes do.
    """

    def __init__(self, path: Path, last_step: int | None = None, *, write: bool = True):
        self.path, self._writes = path, write
        kept = [] if last_step is None else [r for r in read_rows(path) if r["step"] <= last_step]
        self.rows = kept
        if write:
            write_text("".join(_line(row) for row in kept), path)

    def write(self, row: Row) -> None:
        """Append a row."""
        if not self._writes:
            return
        with self.path.open("a") as file:
            file.write(_line(row))
            file.flush()
            os.fsync(file.fileno())


class History:
    """The rows of a run: kept, written to its folder, and told to the callbacks.

    Args:
        path: the metrics file, if there is a folder.
        done: steps of the run so far.
        callbacks: who hears of each row.
        write: see `MetricsFile`.
    """

    def __init__(
        self, path: Path | None, done: int, callbacks: Sequence[Callback], *, write: bool = True
    ):
        self.callbacks = callbacks
        self._file = None if path is None else MetricsFile(path, done or None, write=write)
        self.all: list[Row] = [] if self._file is None else self._file.rows

    def add(self, step: int, split: str, metrics: dict[str, float]) -> None:
        """Add a row of means over the steps since the last one, or over the validation data."""
        # What is not finite is null in the file, and NaN when it is read back.
        known = {k: v if math.isfinite(v) else math.nan for k, v in metrics.items()}
        row = {"step": step, "split": split, **known}
        self.all.append(row)
        if self._file is not None:
            self._file.write(row)
        for callback in self.callbacks:
            callback.on_row(dict(row))


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a metrics file; a last line that was cut off is left out."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return [{k: math.nan if v is None else v for k, v in row.items()} for row in rows]


def _line(row: Row) -> str:
    # JSON knows no NaN: a metric without a value is null.
    clean = {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()
    }
    return json.dumps(clean) + "\n"
