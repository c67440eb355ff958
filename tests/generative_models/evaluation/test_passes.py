import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.generative_models.evaluation.passes import in_passes


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
    with pytest.raises(ValueError, match="before the first"):
        in_passes(lambda i: i, 3, progress=lambda s: [])
