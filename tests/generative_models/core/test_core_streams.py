import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.base import (
    call,
    check_finite,
    inside_transformation,
    is_concrete,
    sample_key,
    set_numerics,
)

# Random streams.


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


# Calling networks of anybody's.


def test_call_passes_rngs_to_networks_that_take_them_and_every_condition():
    x, rngs = jnp.ones(2), nnx.Rngs(1)

    def plain(_):
        return "plain"

    def random(_, rngs):
        return rngs

    def conditional(_, *, condition=None):
        return condition

    def both(_, **rest):
        return rest

    assert call(plain, x, rngs=rngs) == "plain"
    assert call(random, x, rngs=rngs) is rngs
    assert call(conditional, x, rngs=rngs, condition=2) == 2
    assert call(both, x, rngs=rngs, condition=2) == {"rngs": rngs, "condition": 2}
    with pytest.raises(TypeError, match="condition"):  # not dropped in silence
        call(plain, x, rngs=rngs, condition=2)
    linear = nnx.Linear(2, 2, rngs=rngs)
    np.testing.assert_array_equal(call(linear, x, rngs=rngs), linear(x))


def test_being_inside_a_transformation_is_noticed():
    def seen(x):
        found.append(inside_transformation())
        return x.sum()

    found = []
    seen(jnp.ones(2))
    jax.jit(seen)(jnp.ones(2))
    jax.grad(seen)(jnp.ones(2))
    jax.vmap(seen)(jnp.ones((1, 2)))
    nnx.jit(seen)(jnp.ones(2))
    seen(jnp.ones(2))
    assert found == [False, True, True, True, True, False]


# Numerics and checks.


class Stack(nnx.Module):
    """Layers of several kinds, nested."""

    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(2, 3, rngs=rngs), nnx.Conv(3, 3, 3, rngs=rngs)])
        self.norm = nnx.BatchNorm(3, rngs=rngs)


def test_set_numerics_sets_what_is_given_on_every_layer_that_has_it():
    stack = nnx.eval_shape(lambda: Stack(nnx.Rngs(0)))
    linear, conv, norm = *stack.layers, stack.norm
    set_numerics(stack, dtype=jnp.bfloat16)
    assert [layer.dtype for layer in (linear, conv, norm)] == [jnp.bfloat16] * 3
    assert linear.precision is conv.precision is None
    set_numerics(stack, precision="highest")
    assert linear.precision == conv.precision == "highest"
    assert not hasattr(norm, "precision")
    assert linear.dtype == jnp.bfloat16
    assert linear.param_dtype == jnp.float32
    assert not hasattr(stack, "dtype")


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_check_finite_names_the_array(kind):
    for good in ([1.0, 2.0], [], [1, 2], [True], [3e38]):
        check_finite("x", kind(good))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="x holds NaN or infinite values: clean or drop"):
            check_finite("x", kind([0.0, bad]))


def test_check_finite_counts_what_float32_cannot_hold_as_infinite():
    with pytest.raises(ValueError, match="batch holds NaN"):
        check_finite("batch", np.array([1e300]))


def test_traced_values_are_not_looked_at():
    def traced(x):
        check_finite("x", x)
        return jnp.asarray(is_concrete(x))

    assert not jax.jit(traced)(jnp.array([jnp.nan]))
    assert not jax.vmap(traced)(jnp.array([jnp.nan]))[0]
    assert is_concrete(jnp.ones(2))
    assert is_concrete(np.ones(2))


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


def test_a_network_that_changes_inside_a_transformation_says_what_to_do():
    norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
    x = jnp.ones((3, 2))

    def forward(x):
        return call(norm, x, rngs=None)

    with pytest.raises(ValueError, match=r"BatchNorm changes its state .*model.eval\(\)"):
        jax.jit(forward)(x)
    norm.eval()
    np.testing.assert_allclose(jax.jit(forward)(x), x, rtol=1e-4)
