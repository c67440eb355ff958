import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.base import GenerativeModel, accepts_config
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

    def __call__(self, x, *, rngs=None):
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
    built = Toy(config, factor=5.0, rngs=nnx.Rngs(0))
    assert (built.size, built.factor) == (4, 5.0)
    assert built.config == ToyConfig(size=4, factor=5.0)
    assert config.factor == 3.0
    unset = Toy(config, factor=None, rngs=nnx.Rngs(0))  # None is not given
    assert (unset.factor, unset.config) == (3.0, config)


def test_a_config_that_could_not_say_what_was_given_is_not_kept():
    assert Toy(ToyConfig(size=4), shift=1.0, rngs=nnx.Rngs(0)).config is None
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
    with pytest.raises(ValueError, match="do not fit this model"):
        toy().with_params({"v": jnp.zeros(3)})


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
