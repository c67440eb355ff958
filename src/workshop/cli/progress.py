"""Progress of long work, and what Ctrl-C does to it."""

import signal
from collections.abc import Iterator, Sequence
from functools import partial

from rich.console import Console
from rich.progress import track

from workshop.generative_models.devices.signals import StopSignals
from workshop.generative_models.evaluation.passes import Progress

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a command that Ctrl-C ended."""


def progress_bar(what: str, console: Console) -> Progress:
    """Return what shows the progress of work on a console, and removes its bar at the end."""
    return partial(track, description=what, console=console, transient=True)


class Interrupts:
    """Ctrl-C in a command that makes several estimates.

    The first Ctrl-C ends the running estimate, keeps what is done of it, and skips the estimates
    after it. A second one, or one outside of such an estimate, raises KeyboardInterrupt.

    Attributes:
        cut: which estimate was cut short and where, or None.
    """

    def __init__(self, console: Console):
        self.console = console
        self.cut: str | None = None

    def progress(self, what: str) -> Progress:
        """Return what shows the progress of work that is of no use in part."""
        return progress_bar(what, self.console)

    def cuttable(self, what: str) -> Progress:
        """Return what shows the progress of an estimate, and ends it early at Ctrl-C."""
        return partial(self._over, what)

    def _over(self, what: str, sequence: Sequence[int]) -> Iterator[int]:
        if self.cut is not None:
            return
        with StopSignals() as signals:
            try:
                for done, item in enumerate(self.progress(what)(sequence), start=1):
                    yield item
                    if signals.received is None:
                        continue
                    if signals.received != signal.SIGINT:
                        raise SystemExit(128 + signals.received)
                    self.cut = f"{what}: cut short after {done:,} of {len(sequence):,} steps"
                    self.console.print(self.cut, highlight=False)
                    return
            finally:
                if signals.received == signal.SIGINT and self.cut is None:
                    self.cut = f"{what}: cut short"  # by a second signal, inside a step
