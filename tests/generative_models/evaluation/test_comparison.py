import pytest

from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.evaluation.comparison import _best_of, compare
from workshop.generative_models.evaluation.estimates import Estimate

BASIS = {"data": "digits", "likelihood": "Bernoulli"}


def figure(value, error=0.0, how="mean", n=10):
    return Estimate(value, error, n, how)


@pytest.mark.parametrize(
    ("values", "larger", "best"),
    [
        ([figure(1.0), figure(3.0), figure(2.0)], True, (1,)),
        ([figure(1.0), figure(3.0), figure(2.0)], False, (0,)),
        ([figure(1.0), figure(3.0)], None, ()),
        # √(0.3² + 0.4²) = 0.5: two of them reach 1, and not 1.1.
        ([figure(1.0, 0.3), figure(2.0, 0.4), figure(0.9, 0.3)], True, (0, 1)),
        ([figure(1.0, 0.3), figure(1.0, 0.3)], True, ()),
        ([None, figure(1.0), figure(2.0)], False, (1,)),
        ([figure(float("nan")), figure(1.0)], True, (1,)),
        ([None, None], True, ()),
        # Without an error nobody knows whether 2 is more than 1.
        ([figure(1.0), figure(2.0, None)], True, ()),
    ],
)
def test_the_best_and_what_is_no_worse(values, larger, best):
    assert _best_of(values, Metric("m", larger_is_better=larger)) == best


def test_figures_come_by_section_in_the_order_of_the_first_run():
    first = {"likelihood": {"elbo": figure(1.0)}, "latents": {"active_units": figure(3.0)}}
    second = {"latents": {"total_correlation": figure(0.1)}, "likelihood": {"elbo": figure(2.0)}}
    rows = compare([{"sections": s, "basis": BASIS} for s in (first, second)])
    assert [(r.section, r.name) for r in rows] == [
        ("likelihood", "elbo"), ("latents", "active_units"), ("latents", "total_correlation"),
    ]  # fmt: skip
    assert rows[0].best == (1,)
    assert rows[1].figures == (first["latents"]["active_units"], None)
    assert rows[2].best == (), "one run alone is not the best of them"


@pytest.mark.parametrize("other", [figure(2.0, how="another"), figure(2.0, n=11)])
def test_what_was_estimated_otherwise_has_no_best(other):
    runs = [{"sections": {"a": {"elbo": f}}, "basis": BASIS} for f in (figure(1.0), other)]
    (row,) = compare(runs)
    assert not row.alike
    assert row.best == ()


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        ({}, {"elbo": True, "mig": True}),
        ({"likelihood": "Gaussian"}, {"elbo": False, "mig": True}),
        ({"data": "other digits"}, {"elbo": False, "mig": False}),
    ],
)
def test_a_density_is_not_compared_with_a_probability_nor_digits_with_others(other, alike):
    found = [
        {"sections": {"likelihood": {"elbo": figure(v)}, "disentanglement": {"mig": figure(v)}},
         "basis": BASIS | changes}
        for v, changes in ((1.0, {}), (2.0, other))
    ]  # fmt: skip
    rows = {row.name: row for row in compare(found)}
    assert {name: row.alike for name, row in rows.items()} == alike
    assert {name: row.best == (1,) for name, row in rows.items()} == alike


def test_one_run_alone_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        compare([{"sections": {}, "basis": BASIS}])
