import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.modules import call, set_numerics


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


def test_a_network_that_changes_inside_a_transformation_says_what_to_do():
    norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))
    x = jnp.ones((3, 2))

    def forward(x):
        return call(norm, x, rngs=None)

    with pytest.raises(ValueError, match=r"BatchNorm changes its state .*model.eval\(\)"):
        jax.jit(forward)(x)
    norm.eval()
    np.testing.assert_allclose(jax.jit(forward)(x), x, rtol=1e-4)


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
