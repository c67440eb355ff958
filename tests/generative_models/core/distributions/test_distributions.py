import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from workshop.generative_models.core.distributions import (
    DiagonalNormal,
    Distribution,
    MixtureOfDiagonalNormals,
    PointMass,
    StandardNormal,
    kl,
    register_kl,
)
from workshop.generative_models.core.gaussian import kl_to_standard_normal, reparameterize

N = 20_000
KEY = jax.random.key(3)


def array(*values):
    return jnp.array(values, jnp.float32)


WITH_DENSITY = {
    "standard_2": StandardNormal(2),
    "normal_1": DiagonalNormal(array(0.7), array(-0.6)),
    "normal_batch": DiagonalNormal(array([0.0, 1.0], [-0.5, 0.2]), array([0.3, 0.0], [-1.0, 0.5])),
    "mixture_1": MixtureOfDiagonalNormals(
        array(0.0, 1.0, -0.5), array([-2.0], [0.5], [2.0]), array([-1.0], [-0.5], [-2.0])
    ),
    "mixture_batch": MixtureOfDiagonalNormals(
        array([0.0, 1.0], [0.3, -2.0]),
        array([[-2.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [2.0, -2.0]]),
        array([[-1.0, 0.2], [0.1, -0.5]], [[0.0, 0.0], [-1.0, -1.0]]),
    ),
}
INSTANCES = {**WITH_DENSITY, "point_mass": PointMass(array([0.0, 1.0], [-0.5, 0.2]))}
OF_SIZE_2 = [name for name, d in WITH_DENSITY.items() if d.event_size == 2]

with_density = pytest.mark.parametrize("name", list(WITH_DENSITY))
instances = pytest.mark.parametrize("name", list(INSTANCES))

log_prob = jax.jit(lambda d, z: d.log_prob(z))


def grid(size):
    """Edges of the cells of one axis, and the centres of all cells, (cells..., event)."""
    edges = np.linspace(-9, 9, 301 if size == 2 else 3001)
    centres = 0.5 * (edges[1:] + edges[:-1])
    return edges, np.stack(np.meshgrid(*[centres] * size, indexing="ij"), -1)


@jax.jit
def draw_and_weigh(d):
    """Draws of one distribution with its key, and densities: one program for many tests."""
    z, log_q = d.sample_and_log_prob(KEY, (N,)) if d.has_density else (d.sample(KEY, (N,)), None)
    drawn = {
        "z": d.sample(KEY, (N,)),
        "z_with_density": z,
        "hot": d.sample(KEY, (N,), temperature=2.0),
        "cold": d.sample(KEY, (N,), temperature=0),
        "traced": jax.vmap(lambda t: d.sample(KEY, (N,), temperature=t))(jnp.array([2.0]))[0],
        "mean": d.mean,
        "mode": d.mode,
    }
    if not d.has_density:
        return drawn
    cells = jnp.asarray(grid(d.event_size)[1], jnp.float32)
    points = cells.reshape(-1, *[1] * len(d.batch_shape), d.event_size)
    density = {
        "log_q": log_q,
        "log_prob": d.log_prob(z),
        "vmapped": jax.vmap(d.log_prob)(z),
        "at_mode": d.log_prob(d.mode),
        "on_grid": d.log_prob(points),
    }
    if d.factorises:
        density["each"] = d.log_prob_each(z)
    return drawn | density


@functools.cache
def outcome(name):
    return jax.tree.map(np.asarray, draw_and_weigh(INSTANCES[name]))


def scipy_log_prob(d, z):
    """log p(z) in float64 by scipy, with the parameters of the distribution."""
    z = np.asarray(z, np.float64)
    if isinstance(d, StandardNormal):
        return stats.norm.logpdf(z).sum(-1)
    if isinstance(d, DiagonalNormal):
        mean, log_var = np.float64(d.mean), np.float64(d.log_var)
        return stats.norm.logpdf(z, mean, np.exp(0.5 * log_var)).sum(-1)
    means, log_vars = np.float64(d.means), np.float64(d.log_vars)
    each = stats.norm.logpdf(z[..., None, :], means, np.exp(0.5 * log_vars)).sum(-1)
    logits = np.float64(d.logits)
    return special.logsumexp(each, axis=-1, b=special.softmax(logits, axis=-1))


def masses(name):
    """Probabilities of the cells of each entry of the batch, by the midpoint rule."""
    size = INSTANCES[name].event_size
    edges, cells = grid(size)
    density = np.exp(np.float64(outcome(name)["on_grid"])) * np.diff(edges)[0] ** size
    return np.moveaxis(density.reshape(*cells.shape[:-1], -1), -1, 0)


@pytest.mark.sampled
@instances
def test_shapes_and_types(name):
    d = INSTANCES[name]
    event = (*d.batch_shape, d.event_size)
    assert d.mean.shape == d.mode.shape == event
    for shape in ((), (4,), (3, 2)):
        z = jax.eval_shape(lambda s=shape: d.sample(KEY, s))
        assert (z.shape, z.dtype) == ((*shape, *event), jnp.float32)
        if d.has_density:
            again, log_p = jax.eval_shape(lambda s=shape: d.sample_and_log_prob(KEY, s))
            assert again == z
            assert (log_p.shape, log_p.dtype) == ((*shape, *d.batch_shape), jnp.float32)
            assert jax.eval_shape(d.log_prob, z) == log_p
            half = jax.ShapeDtypeStruct(z.shape, jnp.bfloat16)
            assert jax.eval_shape(d.log_prob, half) == log_p


@pytest.mark.sampled
@with_density
def test_log_prob_is_scipys(name):
    found = outcome(name)
    # float32: sums of a few squares, each good to some eps.
    for z, ours in ((found["z"], "log_prob"), (found["mode"], "at_mode")):
        expected = scipy_log_prob(INSTANCES[name], z)
        np.testing.assert_allclose(found[ours], expected, rtol=3e-6, atol=3e-6)


@settings(max_examples=15)
@given(
    st.floats(-50, 50, width=32), st.floats(-50, 50, width=32), st.floats(-10, 10, width=32),
    st.floats(-30, 30, width=32),
)  # fmt: skip
def test_log_prob_of_any_parameters_is_scipys(z, mean, log_var, logit):
    means, log_vars = np.float32([mean, 0.5]), np.float32([log_var, 1.0])
    value = np.float32([z, -1.0])
    for d in (
        DiagonalNormal(means, log_vars),
        MixtureOfDiagonalNormals(
            np.float32([0.0, logit]), np.stack([means, -means]), np.stack([log_vars, log_vars])
        ),
    ):
        # exp(-log_var) is good to eps * 10.
        expected = scipy_log_prob(d, value)
        assert log_prob(d, value) == pytest.approx(expected, rel=5e-6, abs=5e-6)


@with_density
def test_density_integrates_to_one(name):
    # The midpoint rule converges exponentially; float32 leaves 1e-6, the mass beyond 9 is 1e-10.
    totals = [mass.sum() for mass in masses(name)]
    np.testing.assert_allclose(totals, 1, atol=1e-5)


@with_density
def test_samples_have_the_density_of_log_prob(name):
    found, size = outcome(name), INSTANCES[name].event_size
    edges, cells = grid(size)
    points = cells.reshape(-1, size)
    entries = np.moveaxis(np.float64(found["z"]).reshape(N, -1, size), 1, 0)
    means = np.float64(found["mean"]).reshape(-1, size)
    for mass, z, mean in zip(masses(name), entries, means, strict=True):
        flat = mass.reshape(-1)
        np.testing.assert_allclose(flat @ points, mean, atol=2e-5)  # float32 quadrature
        for axis in range(size):
            marginal = mass.sum(axis=tuple(set(range(size)) - {axis}))
            cdf = np.interp(np.sort(z[:, axis]), edges, np.concatenate([[0], marginal.cumsum()]))
            # Kolmogorov-Smirnov: 1.95 / sqrt(N) is exceeded with probability 1e-3.
            assert np.abs(cdf - (np.arange(N) + 0.5) / N).max() < 1.95 / np.sqrt(N)
        products = (z - mean)[:, :, None] * (z - mean)[:, None, :]
        expected = np.einsum("n,ni,nj->ij", flat, points - mean, points - mean)
        error = products.std(0) / np.sqrt(N)
        assert (np.abs(products.mean(0) - expected) < 5 * error + 1e-4).all()


@with_density
def test_samples_are_independent(name):
    d = INSTANCES[name]
    z = outcome(name)["z"].reshape(N, -1)
    if not d.factorises:  # entries of an event may depend on each other, those of a batch may not
        z = z[:, :: d.event_size]
    columns = np.concatenate([z[::2], z[1::2]], 1).T
    # Correlations of independent samples have a standard error of 1 / sqrt(N / 2).
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 5 / np.sqrt(N / 2)


@with_density
def test_sample_and_log_prob_agree_with_log_prob(name):
    found = outcome(name)
    np.testing.assert_allclose(found["z_with_density"], found["z"], rtol=1e-6, atol=1e-6)
    # The noise that is recovered from the sample is good to eps * |mean| / scale.
    np.testing.assert_allclose(found["log_q"], found["log_prob"], rtol=1e-5, atol=2e-5)


def test_density_of_a_sample_keeps_digits_that_log_prob_loses():
    q = DiagonalNormal(array(1000.0, -3000.0), array(-20.0, -15.0))
    noise = np.asarray(jax.random.normal(KEY, (2,)), np.float64)
    expected = (stats.norm.logpdf(noise) - 0.5 * np.array([-20.0, -15.0])).sum()
    z, log_q = q.sample_and_log_prob(KEY)
    assert log_q == pytest.approx(expected, rel=1e-6)
    assert log_prob(q, z) != pytest.approx(expected, rel=1e-2)


def test_samples_equal_those_of_gaussian_and_jax_random():
    q = INSTANCES["normal_batch"]
    np.testing.assert_array_equal(q.sample(KEY), reparameterize(q.mean, q.log_var, KEY))
    np.testing.assert_array_equal(q.sample_and_log_prob(KEY)[0], q.sample(KEY))
    many = [jnp.broadcast_to(each, (5, 2, 2)) for each in (q.mean, q.log_var)]
    np.testing.assert_array_equal(q.sample(KEY, (5,)), reparameterize(*many, KEY))
    p, noise = StandardNormal(2), jax.random.normal(KEY, (5, 2))
    np.testing.assert_array_equal(p.sample(KEY, (5,)), noise)
    np.testing.assert_array_equal(p.sample(KEY, (5,), temperature=0.7), 0.7 * noise)


def test_samples_have_the_type_of_the_parameters():
    half = jnp.zeros((3, 2), jnp.bfloat16)
    for d in (DiagonalNormal(half, half), MixtureOfDiagonalNormals(half[:, 0], half, half)):
        for temperature in (1.0, np.float32(0.5)):
            z = jax.eval_shape(lambda d=d, t=temperature: d.sample(KEY, temperature=t))
            assert z.dtype == jnp.bfloat16
        assert jax.eval_shape(lambda d=d: d.sample_and_log_prob(KEY))[1].dtype == jnp.float32


@instances
def test_temperature_scales_the_standard_deviation(name):
    d, found = INSTANCES[name], outcome(name)
    for hot in ("hot", "traced"):
        difference = found[hot] - found["cold"]
        np.testing.assert_allclose(difference, 2 * (found["z"] - found["cold"]), atol=4e-6)
    if isinstance(d, MixtureOfDiagonalNormals):
        at_means = (found["cold"][..., None, :] == np.asarray(d.means)).all(-1)
        np.testing.assert_array_equal(at_means.sum(-1), 1)
    else:
        np.testing.assert_array_equal(found["cold"], np.broadcast_to(d.mean, found["z"].shape))


@with_density
def test_mode_is_a_point_of_high_density(name):
    d, found = INSTANCES[name], outcome(name)
    if isinstance(d, MixtureOfDiagonalNormals):  # it is the mean of a component, so only near
        means = np.moveaxis(np.float64(d.means), -2, 0)
        for each in means:
            assert (found["at_mode"] > scipy_log_prob(d, each) - 1e-5).all()
        assert (found["mode"] == means).all(-1).any(0).all()
    else:
        assert (found["at_mode"] >= found["on_grid"]).all()


@with_density
def test_log_prob_each_sums_to_log_prob(name):
    d, found = INSTANCES[name], outcome(name)
    if d.factorises:
        assert found["each"].shape == found["z"].shape
        np.testing.assert_allclose(found["each"].sum(-1), found["log_prob"], rtol=1e-5)
    else:
        with pytest.raises(ValueError, match=r"Mixture.*log_prob_each.*does not factorise"):
            d.log_prob_each(d.means[..., 0, :])


def test_log_prob_broadcasts_over_the_batch():
    q, z = INSTANCES["normal_batch"], array([0.0, 1.0], [2.0, 0.0], [-1.0, 0.5])
    every = log_prob(q, z[:, None])
    assert every.shape == (3, 2)
    np.testing.assert_allclose(every, scipy_log_prob(q, z[:, None]), rtol=3e-6, atol=3e-6)


def test_scale_is_the_standard_deviation():
    q = DiagonalNormal(array(0.0, 0.0), array(-0.6, -1e4))
    np.testing.assert_allclose(q.scale, np.exp([-0.3, -10]), rtol=1e-6)


# Divergences.


OTHERS = {name: WITH_DENSITY[name] for name in OF_SIZE_2} | {
    "other_normal": DiagonalNormal(array(-0.3, 0.4), array(0.8, -0.7))
}


@pytest.mark.parametrize(("q_name", "p_name"), list(itertools.product(OF_SIZE_2, OTHERS)))
def test_kl_equals_the_mean_log_ratio_of_samples(q_name, p_name):
    q, p = WITH_DENSITY[q_name], OTHERS[p_name]
    closed = kl(q, p)
    if "mixture_batch" in (q_name, p_name) or (q_name == "standard_2" and p_name != q_name):
        assert closed is None
        return
    z, log_q = outcome(q_name)["z_with_density"], outcome(q_name)["log_q"]
    ratio = np.asarray(log_q - log_prob(p, z), np.float64)
    # Five standard errors, and float32 where both are equal.
    error = 5 * ratio.std(0) / np.sqrt(N) + 1e-5
    assert closed.shape[-1] == 2
    assert (np.abs(closed.sum(-1) - ratio.mean(0)) < error).all()
    assert (np.asarray(closed) >= -1e-6).all()


def test_kl_closed_forms_agree():
    q, p = INSTANCES["normal_batch"], StandardNormal(2)
    np.testing.assert_array_equal(kl(q, p), kl_to_standard_normal(q.mean, q.log_var))
    written_out = DiagonalNormal(jnp.zeros(2), jnp.zeros(2))
    np.testing.assert_allclose(kl(q, p), kl(q, written_out), rtol=1e-6)
    np.testing.assert_array_equal(kl(q, q), 0)
    np.testing.assert_array_equal(kl(p, p), np.zeros(2))
    one = DiagonalNormal(q.mean[1], q.log_var[1])  # broadcast against a batch
    many = DiagonalNormal(*(jnp.tile(each[1], (2, 1)) for each in (q.mean, q.log_var)))
    np.testing.assert_array_equal(kl(one, q), kl(many, q))
    np.testing.assert_array_equal(kl(q, one), kl(q, many))
    # The narrowest against the widest: log-variances differ by more than the clip allows one.
    narrow, wide = (DiagonalNormal(array(0.0), array(v)) for v in (-20.0, 20.0))
    assert kl(narrow, wide)[0] == pytest.approx(0.5 * (np.exp(-40) - 1 + 40), rel=1e-6)
    assert kl(wide, narrow)[0] == pytest.approx(0.5 * (np.exp(40) - 1 - 40), rel=1e-5)


def test_register_kl_extends_the_dispatch():
    class Wider(StandardNormal):
        pass

    class Widest(Wider):
        pass

    q = DiagonalNormal(array(0.7, -1.0), array(-0.6, 0.4))
    np.testing.assert_array_equal(kl(q, Wider(2)), kl(q, StandardNormal(2)))  # inherited

    @register_kl(DiagonalNormal, Wider)
    def to_wider(q, p):
        return jnp.full(q.batch_shape, 7.0)

    assert kl(q, Wider(2)) == kl(q, Widest(2)) == 7
    assert kl(q, StandardNormal(2)).shape == (2,)
    with pytest.raises(ValueError, match=r"register_kl\(DiagonalNormal, Wider\).*already"):
        register_kl(DiagonalNormal, Wider)(to_wider)


def test_a_point_mass_has_no_density():
    d = INSTANCES["point_mass"]
    assert not d.has_density
    np.testing.assert_array_equal(d.sample(KEY, (3,)), np.stack([d.value] * 3))
    for call in (
        lambda: d.log_prob(d.value),
        lambda: d.log_prob_each(d.value),
        lambda: d.sample_and_log_prob(KEY),
        lambda: kl(d, StandardNormal(2)),
        lambda: kl(d, d),
        lambda: kl(StandardNormal(2), d),
    ):
        with pytest.raises(ValueError, match=r"PointMass has no density.*log p\(x\)"):
            call()


# Numerics.

EXTREMES = np.array(
    list(itertools.product((0.0, 1e14, -1e18, 1e30), (-1e4, 0.0, 1e4), (0.0, 1e14, 1e18, -3e38))),
    np.float32,
)
"""Means, log-variances and values."""


def families(mean, log_var):
    """Distributions with one extreme component, alone and beside an ordinary one."""
    means, log_vars = array(mean, 0.5), array(log_var, 0.0)
    return {
        "normal": DiagonalNormal(means, log_vars),
        "mixture": MixtureOfDiagonalNormals(
            array(0.0, 1.0), jnp.stack([means, array(0.0, 0.0)]), jnp.stack([log_vars, array(0, 1)])
        ),
        "far_mixture": MixtureOfDiagonalNormals(
            array(0.0, 1e30), jnp.stack([means, means]), jnp.stack([log_vars, log_vars])
        ),
    }


def values_of(family, extreme):
    """Each value and its gradients by the parameters and the value, for one row of EXTREMES."""
    mean, log_var, value = extreme
    d, z = families(mean, log_var)[family], array(0.0, 0.0).at[0].set(value)
    found = {
        "log_prob": jax.value_and_grad(lambda d, z: d.log_prob(z), (0, 1))(d, z),
        # As under a mask, or for a component without weight.
        "ignored": jax.value_and_grad(lambda d, z: 0.0 * d.log_prob(z).clip(-1e9), (0, 1))(d, z),
        "sample": jax.value_and_grad(lambda d: d.sample(KEY).sum())(d),
        "sample_and_log_prob": jax.value_and_grad(lambda d: d.sample_and_log_prob(KEY)[1])(d),
    }
    if family == "normal":
        found["standard"] = jax.value_and_grad(StandardNormal(2).log_prob)(z)
        other = DiagonalNormal(array(-1.0, 0.3), array(-1e4, 1e4))
        divergence = jax.value_and_grad(lambda q, p: kl(q, p).sum(), (0, 1))
        found["kl"] = divergence(d, other)
        found["kl_reversed"] = divergence(other, d)
        found["kl_standard"] = jax.value_and_grad(lambda q: kl(q, StandardNormal(2)).sum())(d)
    return found


@pytest.mark.sampled
@pytest.mark.parametrize("family", ["normal", "mixture", "far_mixture"])
def test_extreme_parameters_give_finite_gradients_and_never_nan(family):
    found = jax.jit(jax.vmap(lambda extreme: values_of(family, extreme)))(EXTREMES)
    for path, leaf in jax.tree.leaves_with_path(found):
        assert not np.isnan(leaf).any(), jax.tree_util.keystr(path)
    mean, log_var, z = EXTREMES.astype(np.float64).T
    # Where exp(20) times the square of the largest number is in the range of float32.
    square = np.square(np.abs(z - mean)) * np.exp(-np.clip(log_var, -20, 20))
    moderate = (square < 1e38) & (np.abs(z) < 1e19)
    assert moderate.sum() >= 12
    for path, leaf in jax.tree.leaves_with_path(found["log_prob"]):
        assert np.isfinite(leaf[moderate]).all(), jax.tree_util.keystr(path)
    for path, leaf in jax.tree.leaves_with_path((found["ignored"], found["sample"])):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


def test_far_samples_of_a_mixture_pull_the_nearest_component():
    d = MixtureOfDiagonalNormals(array(0.0, 0.0), array([-1.0], [1.0]), array([0.0], [0.0]))
    gradients = jax.jit(jax.value_and_grad(lambda d, z: d.log_prob(z), (0, 1)))
    value, (gradient, by_z) = gradients(d, array(1e6))
    np.testing.assert_allclose(value, scipy_log_prob(d, array(1e6)), rtol=1e-6)
    np.testing.assert_allclose(gradient.means, [[0.0], [1e6]], rtol=1e-5)
    np.testing.assert_allclose(by_z, [-1e6], rtol=1e-5)


# Pytrees and transformations.


@pytest.mark.sampled
@with_density
def test_jit_and_vmap_give_the_same(name):
    d, found = INSTANCES[name], outcome(name)
    np.testing.assert_allclose(found["vmapped"], found["log_prob"], rtol=1e-6, atol=1e-6)
    z = found["z"][:5]
    np.testing.assert_allclose(d.log_prob(z), found["log_prob"][:5], rtol=1e-6, atol=1e-5)
    if d.batch_shape:
        over_batch = jax.jit(jax.vmap(lambda each, z: each.log_prob(z), (0, 1), 1))(d, z)
        np.testing.assert_allclose(over_batch, found["log_prob"][:5], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", ["standard_2", "normal_batch", "mixture_batch", "point_mass"])
def test_samples_without_jit_are_the_same(name):
    np.testing.assert_allclose(
        INSTANCES[name].sample(KEY, (N,)), outcome(name)["z"], rtol=1e-6, atol=1e-6
    )


@instances
def test_pytree_round_trip(name):
    d = INSTANCES[name]
    leaves, structure = jax.tree.flatten(d)
    again = jax.tree.unflatten(structure, leaves)
    assert type(again) is type(d)
    assert all(a is b for a, b in zip(jax.tree.leaves(again), leaves, strict=True))
    assert structure == jax.tree.structure(jax.eval_shape(lambda d: d, d))
    jax.tree.unflatten(structure, [object()] * len(leaves))  # as JAX does for axes
    if isinstance(d, StandardNormal):
        assert leaves == []
        assert structure != jax.tree.structure(StandardNormal(d.event_size + 1))


@with_density
def test_wrong_shapes_of_z_raise(name):
    d = INSTANCES[name]
    size = d.event_size
    wrong = [(), (*d.batch_shape, size + 1), (*d.batch_shape, 0)]
    if d.batch_shape:
        wrong.append((5, size))
    if size > 1:
        wrong.append((*d.batch_shape, 1))
    for shape in wrong:
        for call in (d.log_prob, d.log_prob_each):
            with pytest.raises(ValueError, match=type(d).__name__) as error:
                call(np.zeros(shape, np.float32))
            expected = ", ".join(str(n) for n in (*d.batch_shape, size))
            assert f"shape {shape}: expected (..., {expected})" in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DiagonalNormal(jnp.zeros((3, 2)), jnp.zeros(2)),
        lambda: DiagonalNormal(jnp.zeros(()), jnp.zeros(())),
        lambda: PointMass(jnp.zeros(())),
        lambda: MixtureOfDiagonalNormals(jnp.zeros(2), jnp.zeros((3, 2)), jnp.zeros((3, 2))),
        lambda: MixtureOfDiagonalNormals(jnp.zeros(3), jnp.zeros((3, 2)), jnp.zeros((3, 1))),
        lambda: MixtureOfDiagonalNormals(jnp.zeros(()), jnp.zeros(2), jnp.zeros(2)),
    ],
)
def test_wrong_shapes_of_parameters_raise(make):
    with pytest.raises(ValueError, match=r"shape.*expected \(\*batch"):
        make().sample(KEY)


def test_kl_of_shapes_that_do_not_fit_raises():
    q = INSTANCES["normal_batch"]
    for p in (StandardNormal(1), DiagonalNormal(jnp.zeros((3, 2)), jnp.zeros((3, 2)))):
        with pytest.raises(ValueError, match=r"kl: DiagonalNormal has shape \(2, 2\).*expected"):
            kl(q, p)


def test_distribution_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Distribution()
