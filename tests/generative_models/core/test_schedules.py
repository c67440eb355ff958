import jax
import jax.numpy as jnp
import numpy as np
import pytest

from workshop.generative_models.core.schedules import annealed, linear_ramp


@pytest.mark.parametrize(("final", "steps"), [(4.0, 1), (0.3, 2), (25.0, 7), (0.0, 3), (1.0, 31)])
def test_a_ramp_is_the_references_formula_at_every_step(final, steps):
    every = range(steps + 4)
    expected = [min(final, final * t / steps) for t in every]
    # The ramp is final · (1 - rest) in float32: an error of two roundings of `final`.
    tolerance = {"rtol": 0, "atol": final * 2.5e-7}
    eager = [linear_ramp(final, steps, t) for t in every]
    assert all(value.dtype == jnp.float32 and value.shape == () for value in eager)
    np.testing.assert_allclose(eager, expected, **tolerance)
    traced = jax.jit(lambda t: linear_ramp(final, steps, t))
    np.testing.assert_allclose([traced(t) for t in every], expected, **tolerance)
    mapped = jax.vmap(lambda t: linear_ramp(final, steps, t))(jnp.arange(steps + 4))
    np.testing.assert_allclose(mapped, expected, **tolerance)
    assert eager[0] == 0.0
    np.testing.assert_array_equal(eager[steps:], np.float32(final))
    assert (np.diff(mapped) >= 0).all()


def test_steps_may_be_any_kind_of_integer():
    for step in (25, np.int64(25), jnp.int32(25), jnp.uint32(25)):
        assert linear_ramp(4.0, 100, step) == 1.0


def test_a_ramp_works_as_a_scans_step():
    _, values = jax.lax.scan(lambda t, _: (t + 1, linear_ramp(2.0, 4, t)), 0, length=6)
    np.testing.assert_allclose(values, [0, 0.5, 1, 1.5, 2, 2], rtol=0, atol=5e-7)


def test_without_a_step_the_ramp_is_over():
    assert linear_ramp(4.0, 100, None) == 4.0


def test_no_steps_is_no_ramp():
    assert [float(linear_ramp(4.0, 0, t)) for t in (0, 1, 100, None)] == [4.0] * 4
    assert jax.jit(lambda t: linear_ramp(4.0, 0, t))(0) == 4.0


def test_the_first_step_of_a_long_ramp_has_its_digits():
    # 25 nats over 25,000 steps: C(1) = 0.001, against an absolute error of one rounding of 25.
    assert linear_ramp(25.0, 25_000, 1) == pytest.approx(1e-3, abs=25 * 2.5e-7)


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("constant", lambda u: 1.0),
        ("linear", lambda u: u),
        # Bowman et al. 2016: a logistic curve, here from exactly 0 to exactly 1.
        ("sigmoid", lambda u: (sigmoid(12 * u - 6) - sigmoid(-6)) / (sigmoid(6) - sigmoid(-6))),
        # Fu et al. 2019, eq. (5) to (7) with M = 4 and R = 0.5, a linear f.
        ("cyclical", lambda u: min((u % 0.25) / 0.125, 1.0)),
    ],
)
@pytest.mark.parametrize("steps", [1, 80, 1000])
def test_annealing_is_the_papers_curve(name, shape, steps):
    every = np.unique(np.linspace(0, steps, 41).astype(int))
    expected = [2.5 * (shape(t / steps) if t < steps else 1.0) for t in every]
    found = jax.vmap(lambda t: annealed(name, 2.5, steps, t))(jnp.asarray(every))
    # u is rounded to float32, and a cycle rises eight times as fast as u.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2.5 * 8 * 1.2e-7)
    assert annealed(name, 2.5, steps, 3 * steps) == annealed(name, 2.5, steps, None) == 2.5


def test_an_unknown_schedule_is_named():
    with pytest.raises(ValueError, match=r"kl_schedule='cyclic': .* did you mean 'cyclical'"):
        annealed("cyclic", 1.0, 10, 1)
