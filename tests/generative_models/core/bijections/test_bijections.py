"""Every bijection against autodiff, and the formulas of the papers in float64 NumPy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from workshop.generative_models.core.bijections import (
    MADE,
    Affine,
    Chain,
    Conditioner,
    Coupling,
    Householder,
    Invert,
    MaskedAutoregressive,
    Planar,
    Radial,
    RationalQuadraticSpline,
    Repeat,
    Reverse,
    Sylvester,
    affine,
    gated,
    spline,
)

BATCH, SIZE, STEPS = 3, 3, 2
RNG = np.random.default_rng(0)


def normal(*shape, scale=1.0):
    return jnp.asarray(RNG.normal(size=shape) * scale, jnp.float32)


def planar(*axes):
    return Planar(normal(*axes, SIZE), normal(*axes, SIZE), normal(*axes))


def sylvester(*axes, reflections=4):
    triangles = [np.triu(RNG.normal(size=(*axes, SIZE, SIZE))) for _ in range(2)]
    for square in triangles:
        diagonal = np.arange(SIZE)
        square[..., diagonal, diagonal] = np.tanh(2 * square[..., diagonal, diagonal])
    outer, inner = (jnp.asarray(square, jnp.float32) for square in triangles)
    return Sylvester(outer, inner, normal(*axes, reflections, SIZE), normal(*axes, SIZE))


def trained(weights):
    """Weights that are not those at the start, whose last layer is zero."""
    for array in [*weights.kernels, *weights.biases]:
        array[...] = normal(*array.shape, scale=0.7)
    return weights


def made(context=None, steps=STEPS):
    weights = trained(MADE(steps, SIZE, (8, 8), 2, "tanh", rngs=nnx.Rngs(0)))
    return weights.networks(context)


def coupled(transformer, outputs):
    sizes = [SIZE // 2, 8, (SIZE - SIZE // 2) * outputs]
    weights = trained(Conditioner(STEPS, sizes, "tanh", rngs=nnx.Rngs(0)))
    return Repeat(Chain((Coupling(weights.networks(), transformer), Reverse())))


def single(bijection):
    """The first step of stacked ones."""
    return jax.tree.map(lambda a: a[0], bijection)


BIJECTIONS = {
    "affine": Affine(normal(BATCH, SIZE), normal(BATCH, SIZE)),
    "reverse": Reverse(),
    "planar": dataclasses.replace(planar(BATCH), w=normal(BATCH, SIZE).at[0].set(0)),
    "radial": Radial(normal(BATCH, SIZE), normal(BATCH), normal(BATCH, scale=2)),
    "householder": Householder(normal(BATCH, 4, SIZE).at[0, 1].set(0)),
    "sylvester": sylvester(BATCH),
    "spline": RationalQuadraticSpline(
        normal(BATCH, SIZE, 5), normal(BATCH, SIZE, 5), normal(BATCH, SIZE, 4), 3.0
    ),
    "iaf": MaskedAutoregressive(single(made()), gated),
    "iaf_of_context": Repeat(
        Chain((MaskedAutoregressive(made(normal(BATCH, 8)), gated), Reverse()))
    ),
    "maf": Invert(MaskedAutoregressive(single(made()), affine)),
    "coupling": coupled(affine, 2),
    "spline_coupling": coupled(spline(3.0), 3 * 4 - 1),
    "chain": Chain((Repeat(planar(BATCH, STEPS)), Reverse(), sylvester(reflections=0))),
}
each = pytest.mark.parametrize("name", BIJECTIONS)


@jax.jit
def measured(f, x):
    """All that the tests look at of one bijection, in one program."""
    y, log_det = f.forward(x)
    back, log_back = f.inverse(y)
    columns = jnp.broadcast_to(jnp.eye(SIZE)[:, None], (SIZE, *x.shape))

    def along(function, at):
        push = jax.vmap(lambda tangent: jax.jvp(lambda v: function(v)[0], (at,), (tangent,))[1])
        return jnp.moveaxis(push(columns), 0, -1)

    found = {"y": y, "log_det": log_det, "back": back, "log_back": log_back}
    found["again"] = f.forward(back)[0]
    found["jacobian"] = along(f.forward, x)
    found["jacobian_back"] = along(f.inverse, y)
    weights = jax.tree.leaves(jax.grad(lambda f: f.forward(x)[1].sum())(f))
    return found | {"finite": jnp.all(jnp.stack([jnp.isfinite(w).all() for w in weights] or [1]))}


X = normal(BATCH, SIZE, scale=1.5)


@functools.cache
def outcome(name):
    return jax.tree.map(np.asarray, measured(BIJECTIONS[name], X))


@pytest.mark.sampled
@each
def test_the_log_determinant_is_that_of_the_autodiff_jacobian(name):
    found = outcome(name)
    expected = np.linalg.slogdet(np.float64(found["jacobian"]))[1]
    # float32: a dozen operations, and determinants of matrices with condition numbers up to 1e2.
    np.testing.assert_allclose(found["log_det"], expected, rtol=1e-4, atol=3e-5)
    assert found["finite"]


@pytest.mark.sampled
@each
def test_the_inverse_undoes_the_map_with_its_own_log_determinant_and_jacobian(name):
    found = outcome(name)
    np.testing.assert_allclose(found["again"], found["y"], rtol=1e-5, atol=1e-5)
    # An error of float32 in y is one of 2e-6 |∂x/∂y| in x.
    errors = np.linalg.norm(found["back"] - X, axis=-1)
    assert (errors < 2e-6 * (1 + np.linalg.norm(found["jacobian_back"], axis=(-2, -1)))).all()
    np.testing.assert_allclose(found["log_back"], -found["log_det"], rtol=1e-4, atol=1e-2)
    # Of planar and Sylvester flows it is that of the implicit function.
    product = np.float64(found["jacobian_back"]) @ np.float64(found["jacobian"])
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(SIZE), product.shape), atol=2e-3)


@each
def test_orthogonal_bijections_are_those_whose_jacobian_is(name):
    found = outcome(name)
    products = found["jacobian"] @ np.swapaxes(found["jacobian"], -1, -2)
    is_orthogonal = np.abs(products - np.eye(SIZE)).max() < 1e-5
    # Householder flows claim it because their KL relies on it.
    assert not BIJECTIONS[name].orthogonal or is_orthogonal
    claimed = ("reverse", "householder")
    assert BIJECTIONS[name].orthogonal == (name in claimed)


def test_batch_axes_broadcast_and_each_vector_is_mapped_by_itself():
    f, x = BIJECTIONS["chain"], normal(4, BATCH, SIZE)
    assert f.batch_shape == (BATCH,)
    assert Repeat(planar(BATCH, STEPS)).batch_shape == (BATCH,)
    y, log_det = jax.jit(lambda x: f.forward(x))(x)
    assert (y.shape, log_det.shape) == ((4, BATCH, SIZE), (4, BATCH))

    def of_row(i):
        first, *others = f.parts
        return Chain((jax.tree.map(lambda a: a[i], first), *others))

    one = jax.jit(lambda f, x: f.forward(x))
    for i in range(BATCH):
        expected = one(of_row(i), x[2, i])
        np.testing.assert_allclose(y[2, i], expected[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(log_det[2, i], expected[1], rtol=1e-5, atol=1e-5)


def test_vectors_of_another_size_are_refused():
    for call in ("forward", "inverse"):
        with pytest.raises(
            ValueError, match=rf"Planar.{call}: got an array of shape \(4,\).*, 3\)"
        ):
            getattr(planar(), call)(jnp.zeros(4))
    with pytest.raises(ValueError, match=r"Reverse.forward: .* \(\): expected \(..., event\)"):
        Reverse().forward(jnp.zeros(()))


# The papers' formulas, row by row in float64.


def rows(f):
    return [jax.tree.map(lambda a, i=i: np.float64(a[i]), f) for i in range(BATCH)]


def test_planar_flows_are_those_of_rezende_and_mohamed():
    f, found = BIJECTIONS["planar"], outcome("planar")
    np.testing.assert_array_equal(found["y"][0], X[0])  # the limit of w = 0
    for row, x, y in list(zip(rows(f), np.float64(X), found["y"], strict=True))[1:]:
        product = row.w @ row.u
        u = row.u + (np.log1p(np.exp(product)) - 1 - product) * row.w / (row.w @ row.w)
        assert row.w @ u > -1
        np.testing.assert_allclose(y, x + u * np.tanh(row.w @ x + row.b), rtol=1e-5, atol=1e-6)


def test_radial_flows_are_those_of_rezende_and_mohamed():
    f, found = BIJECTIONS["radial"], outcome("radial")
    for row, x, y in zip(rows(f), np.float64(X), found["y"], strict=True):
        alpha, r = np.exp(row.log_alpha), np.linalg.norm(x - row.centre)
        beta = np.log1p(np.exp(row.beta)) - alpha
        expected = x + beta / (alpha + r) * (x - row.centre)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def reflections(vectors):
    """H_1 … H_n, multiplied out."""
    product = np.eye(SIZE)
    for v in vectors:
        product = product @ (np.eye(SIZE) - 2 * np.outer(v, v) / (v @ v or 1))
    return product


def test_a_householder_flow_is_the_product_of_reflections():
    found = outcome("householder")
    for row, x, y in zip(rows(BIJECTIONS["householder"]), np.float64(X), found["y"], strict=True):
        np.testing.assert_allclose(y, reflections(row.vectors) @ x, rtol=1e-5, atol=1e-5)
    # Vectors so long or short that their squares are beyond float32, and the same one twice.
    v = np.asarray(normal(SIZE))
    vectors = np.stack([[v * np.float32(1e-30)] * 2, [v, v * np.float32(1e30)], [v, 0 * v]])
    y, _ = jax.jit(lambda v, x: Householder(v).forward(x))(vectors, X[0])
    once = reflections([np.float64(v)]) @ X[0]
    np.testing.assert_allclose(y, [X[0], X[0], once], rtol=1e-5, atol=1e-5)


def test_sylvester_flows_are_those_of_van_den_berg():
    found = outcome("sylvester")
    for row, x, y in zip(rows(BIJECTIONS["sylvester"]), np.float64(X), found["y"], strict=True):
        q = reflections(row.reflections)
        expected = x + q @ row.outer @ np.tanh(row.inner @ q.T @ x + row.bias)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_splines_are_those_of_durkan():
    f, found = BIJECTIONS["spline"], outcome("spline")
    checked = 0
    for row, x, y in zip(rows(f), np.float64(X), found["y"], strict=True):
        for j in range(SIZE):
            if abs(x[j]) >= 3:
                assert y[j] == X[0].dtype.type(x[j])
                continue
            edges = []
            for raw in (row.widths[j], row.heights[j]):
                shares = 1e-3 + (1 - 5e-3) * np.exp(raw) / np.exp(raw).sum()
                edges.append(-3 + 6 * np.concatenate([[0], shares.cumsum()]))
            slopes = np.log1p(np.exp(row.slopes[j] + np.log(np.exp(1 - 1e-3) - 1))) + 1e-3
            d = np.concatenate([[1], slopes, [1]])
            k = np.searchsorted(edges[0], x[j]) - 1
            (left, right), (low, high) = (e[k : k + 2] for e in edges)
            s, xi = (high - low) / (right - left), (x[j] - left) / (right - left)
            top = (high - low) * (s * xi**2 + d[k] * xi * (1 - xi))
            bottom = s + (d[k + 1] + d[k] - 2 * s) * xi * (1 - xi)
            assert y[j] == pytest.approx(low + top / bottom, rel=1e-5, abs=1e-5)
            checked += 1
    assert checked > 5


def test_zeros_are_the_identity_of_a_spline_and_it_joins_the_identity_beyond_its_bound():
    zeros = RationalQuadraticSpline(*(jnp.zeros((1, n)) for n in (4, 4, 3)), 2.0)
    f = RationalQuadraticSpline(*(normal(1, n, scale=2) for n in (4, 4, 3)), 2.0)
    x = jnp.linspace(-2.5, 2.5, 41)[:, None]
    forward = jax.jit(lambda f, x: f.forward(x))
    y, log_det = forward(zeros, x)
    np.testing.assert_allclose(y, x, atol=2e-6)
    np.testing.assert_allclose(log_det, 0, atol=1e-5)
    ends = jnp.array([[-2.0001], [-1.9999], [1.9999], [2.0001]])
    y, log_det = forward(f, ends)
    np.testing.assert_allclose(y, ends, atol=1e-4)
    np.testing.assert_allclose(log_det, 0, atol=0.02)  # slope 1 at the knots, continuous
    assert (np.diff(np.asarray(forward(f, x)[0])[:, 0]) > 0).all()


def test_outputs_of_a_masked_network_depend_on_all_earlier_inputs_and_no_others():
    network = single(made(normal(8)))
    network = jax.tree.map(lambda a: a, network)
    jacobian = jax.jit(jax.jacobian(network))(X[0]).reshape(SIZE, 2, SIZE)
    depends = (jacobian != 0).any(1)
    np.testing.assert_array_equal(depends, np.tri(SIZE, k=-1, dtype=bool))

    def of_context(context):
        return Chain((MaskedAutoregressive(single(made(context)), gated),)).forward(X[0])[0]

    assert (of_context(normal(8)) != of_context(normal(8))).all(), "the first entry as well"


def test_steps_of_an_inverse_autoregressive_flow_are_those_of_kingma():
    f, found = BIJECTIONS["iaf"], outcome("iaf")
    raw = np.float64(jax.jit(jax.vmap(f.network))(X)).reshape(BATCH, SIZE, 2)
    m, sigma = raw[..., 0], 1 / (1 + np.exp(-raw[..., 1] - 1))
    np.testing.assert_allclose(found["y"], sigma * X + (1 - sigma) * m, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["log_det"], np.log(sigma).sum(-1), rtol=1e-5)
    loops = str(jax.make_jaxpr(f.forward)(X))
    assert "scan" not in loops
    assert "while" not in loops


# Numerics.


@pytest.mark.parametrize("product", [-200.0, -20.0, 0.0, 30.0])
def test_planar_flows_near_the_limit_of_invertibility_lose_no_digits(product):
    w = jnp.array([0.6, 0.8])
    f, x = Planar(product * w, w, jnp.zeros(())), jnp.array([[0.3, -0.1], [1e-4, 0.0], [2.0, 1.0]])
    y, log_det = jax.jit(lambda x: f.forward(x))(x)
    wx = np.float64(x) @ np.float64(w)
    t2 = np.tanh(wx) ** 2
    expected = np.log(t2 + (1 - t2) * np.logaddexp(0, product))
    np.testing.assert_allclose(log_det, expected, rtol=1e-5, atol=1e-6)
    back, _ = jax.jit(lambda y: f.inverse(y))(y)
    # Where the slope is 1e-8 at 1e-4 the inverse keeps the cube root of the digits.
    np.testing.assert_allclose(back, x, atol=1e-2 if product < -10 else 1e-5)


def test_extreme_numbers_give_no_nan():
    """Parameters at the limits that posteriors set, and latents as large as float32 allows."""
    big = jnp.float32(1e4)
    signs = jnp.array([1.0, -1.0])
    both = jnp.stack([signs, 1e-8 * signs])
    cases = [
        Planar(big * jnp.stack([signs, signs]), -big * both, big * signs),
        Radial(big * jnp.stack([signs, signs]), 10 * signs, big * signs),
        Sylvester(big * jnp.triu(jnp.ones((2, 2)), 1), jnp.zeros((2, 2)), jnp.ones((1, 2)), signs),
        Chain(tuple(f(big * jnp.stack([signs, -signs])) for f in (gated, affine))),
        RationalQuadraticSpline(*(big * jnp.resize(signs, (2, n)) for n in (3, 3, 2)), 3.0),
    ]
    x = jnp.array([[0.0, 0.0], [1e20, -1e20], [-1e30, 1e4], [1e4, 1e4]])[:, None]

    @jax.jit
    def all_of(cases):
        def values(f, x):
            y, log_det = f.forward(x)
            return y.sum() + log_det.sum(), (y, log_det)

        return [jax.value_and_grad(values, (0, 1), has_aux=True)(f, x) for f in cases]

    for f, found in zip(cases, all_of(cases), strict=True):
        for leaf in jax.tree.leaves(found):
            assert not np.isnan(leaf).any(), type(f).__name__
