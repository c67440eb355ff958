import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.base import (
    GenerativeModel,
    accepts_config,
    call,
    check_finite,
    inside_transformation,
    is_concrete,
    sample_key,
    set_numerics,
)
from workshop.generative_models.core.configuration import Config, DecoderConfig


class ToyConfig(Config):
    """A toy."""

    size: int
    """A size."""
    factor: float = 2.0
    """A factor."""


class WiderConfig(ToyConfig):
    """A toy of a kind."""


class Other(nnx.Variable):
    """State that gradients do not train."""


class Toy(GenerativeModel):
    """y = factor * w x + other, with one parameter and one other variable."""

    config_class = ToyConfig

    @staticmethod
    def explicit_arguments(config, rngs):
        assert rngs is not None
        return {"size": config.size, "factor": config.factor}

    @accepts_config
    def __init__(self, size, factor=2.0, *, rngs, shift=0.0):
        self.size, self.factor, self.shift = size, factor, shift
        self.w = nnx.Param(jnp.arange(1.0, size + 1))
        self.other = Other(jnp.zeros(size))
        self.rngs = nnx.data(rngs)

    def __call__(self, x, *, rngs=None):  # noqa: ARG002
        return self.factor * self.w[...] * x + self.other[...]

    def loss_fn(self, params=None, batch=None, rng=None, **_):
        if params is not None:
            return self.with_params(params).loss_fn(None, batch, rng)
        return {"total_loss": jnp.sum(jnp.square(self(batch)))}


def toy():
    return Toy(3, rngs=nnx.Rngs(0))


# Two ways to build.


def test_a_config_comes_first_or_by_its_name():
    config = ToyConfig(size=4, factor=3.0)
    for built in (Toy(config, rngs=nnx.Rngs(0)), Toy(config=config, rngs=nnx.Rngs(0))):
        assert (built.size, built.factor, built.config) == (4, 3.0, config)


def test_explicit_arguments_are_positional_or_named_and_leave_no_config():
    for built in (
        Toy(4, 3.0, rngs=nnx.Rngs(0)),
        Toy(size=4, factor=3.0, rngs=nnx.Rngs(0), config=None),
    ):
        assert (built.size, built.factor, built.config) == (4, 3.0, None)


def test_arguments_beside_a_config_win_and_the_kept_config_says_so():
    config = ToyConfig(size=4, factor=3.0)
    built = Toy(config, factor=5.0, shift=1.0, rngs=nnx.Rngs(0))
    assert (built.size, built.factor, built.shift) == (4, 5.0, 1.0)
    # What is saved must rebuild this model; it has no field for the shift.
    assert built.config == ToyConfig(size=4, factor=5.0)
    assert config.factor == 3.0
    unset = Toy(config, factor=None, rngs=nnx.Rngs(0))  # None is not given
    assert (unset.factor, unset.config) == (3.0, config)


def test_a_config_that_could_not_say_what_was_given_is_not_kept():
    built = Toy(ToyConfig(size=4), factor=jnp.ones(2), rngs=nnx.Rngs(0))
    assert built.config is None


def test_a_config_of_a_kind_is_taken_and_another_refused():
    config = WiderConfig(size=2)
    assert Toy(config, rngs=nnx.Rngs(0)).config is config
    other = DecoderConfig(hidden_dims=(3,), latent_dim=2, output_shape=(4,))
    for arguments in ({"config": other}, {}):
        positional = () if arguments else (other,)
        with pytest.raises(ValueError, match=r"Toy\(config=DecoderConfig\): expected a ToyConfig"):
            Toy(*positional, **arguments, rngs=nnx.Rngs(0))


def test_the_constructor_keeps_its_name_and_signature():
    assert list(inspect.signature(Toy.__init__).parameters) == [
        "self", "size", "factor", "rngs", "shift"
    ]  # fmt: skip


def test_unknown_arguments_are_errors_beside_a_config_too():
    for first in (3, ToyConfig(size=3)):
        with pytest.raises(TypeError, match="colour"):
            Toy(first, colour=1, rngs=nnx.Rngs(0))


# Other parameters.


def test_with_params_is_a_copy_and_leaves_the_original():
    model = toy()
    params = nnx.state(model, nnx.Param)
    doubled = jax.tree.map(lambda a: 2 * a, params)
    for given in (doubled, nnx.to_pure_dict(doubled)):
        copy = model.with_params(given)
        assert type(copy) is Toy
        assert copy is not model
        np.testing.assert_array_equal(copy.w[...], [2, 4, 6])
        np.testing.assert_array_equal(model.w[...], [1, 2, 3])
        assert copy.factor == model.factor


def test_with_params_shares_nothing_that_can_be_written():
    model = toy()
    copy = model.with_params(nnx.state(model, nnx.Param))
    copy.w[...] += 1
    copy.other[...] += 1
    first = jax.random.key_data(copy.rngs.sample())
    np.testing.assert_array_equal(model.w[...], [1, 2, 3])
    np.testing.assert_array_equal(model.other[...], np.zeros(3))
    # The copy's random stream was read, the model's own is still at its start.
    np.testing.assert_array_equal(jax.random.key_data(model.rngs.sample()), first)


def test_params_are_used_and_differentiated_in_and_out_of_jit():
    model, x = toy(), jnp.array([1.0, -1.0, 0.5])
    params = jax.tree.map(lambda a: a + 0.5, nnx.state(model, nnx.Param))

    def loss(params):
        return model.loss_fn(params, x, None)["total_loss"]

    for function in (jax.value_and_grad(loss), jax.jit(jax.value_and_grad(loss))):
        value, grads = function(params)
        w = np.array([1.5, 2.5, 3.5])
        np.testing.assert_allclose(value, np.sum((2 * w * x) ** 2), rtol=1e-6)
        np.testing.assert_allclose(grads["w"][...], 8 * w * x**2, rtol=1e-6)
    np.testing.assert_array_equal(model.w[...], [1, 2, 3])


def test_a_parameter_that_the_model_lacks_is_named():
    with pytest.raises(ValueError, match="v"):
        toy().with_params({"v": jnp.zeros(3)})


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
    model = toy()
    np.testing.assert_array_equal(call(model, jnp.ones(3), rngs=rngs), model(jnp.ones(3)))


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


def test_the_interface_leaves_models_to_say_what_they_do():
    class Empty(GenerativeModel):
        pass

    model = Empty()
    for method in (lambda: model(jnp.ones(1)), model.loss_fn, model.generate):
        with pytest.raises(NotImplementedError):
            method()
    assert model.check_data(np.ones(1)) is None
    assert model.update_statistics(None) is None
    assert model.config is None
