"""Signals that ask a run to stop: noted at once, obeyed between two calls of the loop."""

import signal
import threading
from types import FrameType
from typing import Any


class Stopped(KeyboardInterrupt):
    """A run that was asked to stop by a signal after a step, all that it had learned kept."""

    def __init__(self, received: int, step: int, message: str):
        super().__init__(message)
        self.signal, self.step = received, step


class StopSignals:
    """Note SIGINT and SIGTERM within the block; a second one acts as it would have."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.received = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            # None is a handler that Python did not set.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
