"""Progress of long work, which Ctrl-C cuts short: what was done until then is kept."""

import signal
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.progress import track

from workshop.generative_models.devices.signals import StopSignals
from workshop.generative_models.evaluation.passes import Progress


def interruptible(what: str, console: Console) -> Progress:
    """Return what shows the way through a sequence, and ends it early at Ctrl-C.

    A second Ctrl-C acts as always.
    """

    def over(sequence: Sequence[int]) -> Iterable[int]:
        return _over(sequence, what, console)

    return over


def _over(sequence: Sequence[int], what: str, console: Console) -> Iterator[int]:
    with StopSignals() as signals:
        shown = track(sequence, description=what, console=console, transient=True)
        for done, item in enumerate(shown, start=1):
            yield item
            if signals.received is None:
                continue
            if signals.received != signal.SIGINT:
                raise SystemExit(128 + signals.received)
            if done < len(sequence):
                console.print(f"{what}: cut short after {done:,} of {len(sequence):,} passes")
                return
