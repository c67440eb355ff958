import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from workshop.generative_models.core.modules import row_keys, sample_key


def same_key(a, b):
    return bool((jax.random.key_data(a) == jax.random.key_data(b)).all())


@pytest.mark.parametrize(
    ("streams", "used"),
    [
        ({"params": 1, "dropout": 2, "sample": 3}, 3),
        ({"default": 4, "sample": 3}, 3),
        ({"default": 4, "params": 1}, 4),
        ({"params": 1, "dropout": 2}, 1),
    ],
)
def test_the_stream_is_sample_then_default_then_params(streams, used):
    rngs, expected = nnx.Rngs(**streams), nnx.Rngs(stream=used)
    for _ in range(2):  # the stream's next key each time
        assert same_key(sample_key(rngs), expected.stream())


def test_given_streams_win_over_the_models_own():
    given, own = nnx.Rngs(sample=1), nnx.Rngs(sample=2)
    assert same_key(sample_key(given, own), nnx.Rngs(sample=1).sample())
    assert same_key(sample_key(None, own), nnx.Rngs(sample=2).sample())
    assert not same_key(sample_key(None, own), nnx.Rngs(sample=2).sample())


def test_without_a_stream_there_is_an_error():
    with pytest.raises(ValueError, match="no random streams of its own; pass rngs"):
        sample_key(None, None)
    with pytest.raises(ValueError, match="none of the streams 'sample', 'default', 'params'"):
        sample_key(nnx.Rngs(dropout=1), nnx.Rngs(0))


@pytest.mark.parametrize("wrong", [0, jax.random.key(0), {"sample": 0}], ids=str)
def test_what_is_no_rngs_is_an_error(wrong):
    unchecked = getattr(sample_key, "__wrapped__", sample_key)  # of the tests' type checks
    with pytest.raises(TypeError, match=r"rngs is of type .*: expected an nnx\.Rngs"):
        unchecked(wrong)


def test_each_row_has_a_key_of_its_own():
    keys = row_keys(None, nnx.Rngs(0), 5)
    assert len({bytes(jax.random.key_data(key)) for key in keys}) == len(keys) == 5
    assert same_key(keys, row_keys(nnx.Rngs(0), None, 5))


# Threads.


@pytest.mark.parametrize("threads", [2, 8])
def test_no_two_threads_receive_the_same_key(threads):
    rngs, draws = nnx.Rngs(sample=0), 800 // threads
    start = threading.Barrier(threads)

    def draw(_):
        start.wait()
        return [bytes(jax.random.key_data(sample_key(rngs))) for _ in range(draws)]

    with ThreadPoolExecutor(threads) as pool:
        keys = [key for some in pool.map(draw, range(threads)) for key in some]
    # The same keys as one thread draws, in some order.
    alone = nnx.Rngs(sample=0)
    expected = {bytes(jax.random.key_data(alone.sample())) for _ in range(threads * draws)}
    assert len(set(keys)) == threads * draws
    assert set(keys) == expected


# Transformations.


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, jax.vmap])
def test_a_stream_of_outside_cannot_advance_inside_a_transformation(transform):
    rngs = nnx.Rngs(0)

    def of_own(x):
        return jax.random.normal(sample_key(None, rngs)) + x

    def given(x):
        return jax.random.normal(sample_key(rngs, None)) + x

    x = jnp.ones(1) if transform is jax.vmap else 1.0
    with pytest.raises(ValueError, match=r"rngs=None: the model's own .*lambda x, key"):
        transform(of_own)(x)
    with pytest.raises(ValueError, match=r"rngs: the stream .*lambda x, key"):
        transform(given)(x)
    assert same_key(sample_key(rngs), nnx.Rngs(0)())  # nothing was drawn
