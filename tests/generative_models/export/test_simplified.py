"""Programs rewritten with fewer primitives compute what they did."""

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from workshop.generative_models.core.convolution import conv, conv_transpose
from workshop.generative_models.export.simplified import simplified


def rewritten(function, *arrays):
    inputs = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays]
    program = simplified(function, inputs)
    names = {equation.primitive.name for equation in program.jaxpr.eqns}
    return jax.extend.core.jaxpr_as_fun(program)(*arrays)[0], names


edges = st.tuples(st.integers(-1, 2), st.integers(-1, 2))


@given(rows=edges, columns=edges)
def test_padding_and_cropping(rows, columns):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    found, names = rewritten(
        lambda x: lax.pad(x, jnp.float32(7), [(*rows, 0), (*columns, 0)]), jnp.asarray(x)
    )
    low, high = zip(rows, columns, strict=True)
    full = np.pad(x, [(max(a, 0), max(b, 0)) for a, b in (rows, columns)], constant_values=7)
    cut = [
        slice(max(-a, 0), size - max(-b, 0))
        for a, b, size in zip(low, high, full.shape, strict=True)
    ]
    np.testing.assert_array_equal(found, full[tuple(cut)])
    assert "pad" not in names


def test_remainders_of_integers_of_either_sign():
    x, y = np.meshgrid(np.arange(-7, 8), np.array([-3, -1, 2, 5]))
    x, y = x.astype(np.int32), y.astype(np.int32)
    found, names = rewritten(lambda x, y: x % y, jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_array_equal(found, x % y)
    assert "rem" not in names


def test_convolutions_have_one_form_and_their_values():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 5, 4, 3), np.float32))
    k = jnp.asarray(rng.standard_normal((3, 3, 3, 2), np.float32))

    def both(x, k):
        y = conv(x, k, stride=2, padding=((0, 1), (1, 0)))
        return conv_transpose(y, k.swapaxes(2, 3), output_size=(5, 4))

    found, names = rewritten(both, x, k)
    np.testing.assert_allclose(found, both(x, k), rtol=1e-5, atol=1e-5)
    assert not names & {"platform_index", "cond", "jit", "custom_jvp_call"}


def test_what_nothing_reads_is_left_out():
    def function(x):
        jnp.cumsum(x)  # no output
        return jax.nn.relu(x)

    x = jnp.array([-1.0, 2.0])
    found, names = rewritten(function, x)
    assert found.tolist() == [0.0, 2.0]
    assert names == {"max"}
