import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workshop.generative_models.data.reading import EpochOrder

sizes = st.integers(1, 40)


@given(examples=sizes, batch_size=sizes, seed=st.integers(0, 2**31))
def test_every_example_comes_once_an_epoch(examples, batch_size, seed):
    steps = -(-3 * examples // batch_size)
    stream = EpochOrder(examples, batch_size, seed).batches(0, steps).ravel()
    for epoch in range(3):
        part = stream[epoch * examples : (epoch + 1) * examples]
        assert sorted(part) == list(range(examples))


@given(examples=sizes, batch_size=sizes, first=st.integers(0, 30), steps=st.integers(1, 9))
def test_batches_do_not_depend_on_the_call_that_asks(examples, batch_size, first, steps):
    order = EpochOrder(examples, batch_size, 3)
    whole = order.batches(0, first + steps)
    np.testing.assert_array_equal(order.batches(first, steps), whole[first:])


def test_seeds_and_epochs_differ():
    one, other = (EpochOrder(100, 100, seed).batches(0, 2) for seed in (0, 1))
    assert (one[0] != one[1]).any()
    assert (one[0] != other[0]).any()
