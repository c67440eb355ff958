import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.generative_models.core import pace
from workshop.generative_models.evaluation.passes import CutShort, in_passes, in_steps


@given(count=st.integers(1, 60), size=st.integers(1, 25))
def test_passes_are_joined_without_what_filled_them_up(count, size):
    sizes = set()

    def one_pass(index):
        sizes.add(len(index))
        return {"square": index**2}

    found = in_passes(one_pass, count, size=size)
    np.testing.assert_array_equal(found["square"], np.arange(count) ** 2)
    assert sizes == {min(size, count)}, "another shape would compile anew"


@given(count=st.integers(1, 60), size=st.integers(1, 25), done=st.integers(1, 10))
def test_cut_short_what_was_done_is_kept(count, size, done):
    found = in_passes(lambda i: i, count, size=size, progress=lambda s: list(s)[:done])
    np.testing.assert_array_equal(found, np.arange(min(count, done * min(size, count))))


def test_cut_short_at_once_is_an_error():
    with pytest.raises(CutShort, match="before the first"):
        in_passes(lambda i: i, 3, progress=lambda s: [])


class Clock:
    """A clock that moves by what steps cost, and keeps what is done between two looks at a flag."""

    def __init__(self, monkeypatch, cost, compilation=0.0):
        self.now, self.cost, self.compilation = 0.0, cost, compilation
        self.since_look, self.looks, self.steps = 0.0, [], 0
        monkeypatch.setattr(pace.time, "perf_counter", lambda: self.now)

    def advance(self, state, first, last):
        assert state[1] == first, "steps follow on one another"
        seconds = (last - first) * self.cost(self.now)
        self.now += seconds + self.compilation
        self.since_look += seconds
        self.compilation = 0.0
        self.steps += last - first
        return state[0], last

    def progress(self, sequence):
        for item in sequence:
            yield item
            self.looks.append(self.since_look)
            self.since_look = 0.0


@pytest.mark.parametrize(
    ("cost", "compilation"),
    [
        (lambda now: 1e-5, 0.0),
        (lambda now: 1e-3, 20.0),
        (lambda now: 0.4, 0.0),
        (lambda now: 1e-4 if now < 3 else 3e-4, 0.0),  # another process took the cores
    ],
)
def test_between_two_looks_at_a_flag_a_moment_of_work_is_done(monkeypatch, cost, compilation):
    """However many steps there are and whatever they cost: a quarter of a second, or one step."""
    clock = Clock(monkeypatch, cost, compilation)
    found = in_steps(
        lambda index: (index, 0), clock.advance, lambda state: state[0],
        25, 20_000, size=10, progress=clock.progress,
    )  # fmt: skip
    np.testing.assert_array_equal(found, np.arange(25))
    assert clock.steps == 3 * 20_000
    assert sum(clock.looks) == pytest.approx(clock.now - compilation)
    # A call is chosen by the speed of the one before, so it takes three times as long once.
    assert max(clock.looks) <= max(3 * pace.SECONDS_A_CALL, cost(0)) + 1e-9
    # And not so little that the host slows it down.
    calls = sum(look > 0 for look in clock.looks)
    assert calls < 30 + 1.5 * max(clock.now / pace.SECONDS_A_CALL, 3)


@given(most=st.integers(1, 400), size=st.integers(1, 9))
def test_of_passes_of_many_steps_the_whole_ones_are_kept(most, size):
    found = None
    try:
        found = in_steps(
            lambda index: (index, 0), lambda s, first, last: (s[0], last), lambda s: s[0],
            20, 30, size=size, progress=lambda s: list(s)[:most],
        )  # fmt: skip
    except CutShort:
        assert most < 30
    else:
        np.testing.assert_array_equal(found, np.arange(min(20, most // 30 * size)))
