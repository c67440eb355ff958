import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.base import GenerativeModel


class Other(nnx.Variable):
    """State that gradients do not train."""


class Toy(GenerativeModel):
    """y = factor * w x + other, with one parameter and one other variable."""

    def __init__(self, size, factor=2.0, *, rngs):
        self.factor = factor
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
