"""How many steps a compiled call takes: it should take a moment, whatever a step costs."""

import time
from collections.abc import Iterator

SECONDS_A_CALL = 0.25
"""How long a call should take. Between two calls the host looks for signals."""


def next_count(
    before: int, count: int, seconds: float, *, few: int = 1, longest: float = SECONDS_A_CALL
) -> int:
    """Return how many steps the next call takes, at most ten times the `before` allowed last.

    `few` slow steps are taken too, as long as the call stays below `longest` seconds.
    """
    speed = count / max(seconds, 1e-6)
    wanted = max(SECONDS_A_CALL * speed, min(few, longest * speed))
    return max(1, min(int(wanted), 10 * before))


class Pace:
    """Splits work into calls of about `SECONDS_A_CALL`, by the speed of the calls before."""

    def __init__(self) -> None:
        self.count = 1

    def calls(self, steps: int) -> Iterator[tuple[int, int]]:
        """Yield the first step of each call and the one after its last."""
        first = 0
        while first < steps:
            last = min(first + self.count, steps)
            started = time.perf_counter()
            yield first, last
            self.count = next_count(self.count, last - first, time.perf_counter() - started)
            first = last
