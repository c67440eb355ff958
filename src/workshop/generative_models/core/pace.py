"""How many steps a compiled call takes: it should take a moment, whatever a step costs."""

import time
from collections.abc import Iterator

SECONDS_A_CALL = 0.25
"""How long a call should take. Between two calls the host looks for signals."""


def next_count(
    before: int, count: int, seconds: float, *, few: int = 1, longest: float = SECONDS_A_CALL
) -> int:
    """Return how many steps the next call should take, growing at most tenfold at a time.

    A first call is mostly compilation, so it says little about speed.

    Args:
        before: how many steps were allowed in the last call.
        count: how many it took.
        seconds: how long it took.
        few: so many slow steps are taken, as long as the call stays below `longest`.
        longest: in seconds.

    Examples:
        >>> next_count(10, 10, seconds=0.1), next_count(10, 10, seconds=1e-3)
        (25, 100)
    """
    speed = count / max(seconds, 1e-6)
    wanted = max(SECONDS_A_CALL * speed, min(few, longest * speed))
    return max(1, min(int(wanted), 10 * before))


class Pace:
    """Splits work into calls of about `SECONDS_A_CALL`, by the speed of the calls before."""

    def __init__(self) -> None:
        self.count = 1

    def calls(self, steps: int) -> Iterator[tuple[int, int]]:
        """Yield the first step of each call and the one after its last.

        The caller waits for the results of a call before it asks for the next one.
        """
        first = 0
        while first < steps:
            last = min(first + self.count, steps)
            started = time.perf_counter()
            yield first, last
            self.count = next_count(self.count, last - first, time.perf_counter() - started)
            first = last
