import json

import numpy as np
import pytest

from workshop.generative_models.core.estimates import read
from workshop.generative_models.evaluation.estimates import (
    Estimate,
    jackknife,
    mean_of,
    mean_with_part,
    share_of,
)


def test_the_error_of_a_mean_is_its_spread_over_data_sets():
    """400 data sets of 50: the spread itself is known to 1 / √800 = 3.5%, asked for to 15%."""
    draws = np.random.default_rng(0).exponential(2.0, (400, 50))
    found = [mean_of(d, "") for d in draws]
    spread = np.std([f.value for f in found])
    assert np.mean([f.standard_error for f in found]) == pytest.approx(spread, rel=0.15)
    assert found[0].value == pytest.approx(draws[0].mean())


def test_a_mean_of_one_has_no_error_and_none_at_all_is_refused():
    assert mean_of([3.0], "", scale=2.0) == Estimate(6.0, None, 1, "")
    with pytest.raises(ValueError, match=r"values has shape \(0,\)"):
        mean_of([], "")


class TestMeanWithPart:
    def draw(self, rng):
        """A cheap value for 60 and, for the first 20 of them, what a costly one adds to it."""
        a = rng.normal(5.0, 3.0, 60)
        return a, -0.4 * a[:20] + rng.normal(1.0, 0.5, 20)

    def test_it_has_no_bias_and_the_error_that_it_says(self):
        """E = 5 - 0.4·5 + 1 = 4. 800 data sets give the spread to 2.5%, asked for to 10%."""
        rng = np.random.default_rng(1)
        found = [mean_with_part(*self.draw(rng), "") for _ in range(800)]
        values = np.array([f.value for f in found])
        assert abs(values.mean() - 4.0) < 4 * values.std() / 800**0.5
        says = np.sqrt(np.mean([f.standard_error**2 for f in found]))
        assert says == pytest.approx(values.std(), rel=0.1)

    def test_the_covariance_counts(self):
        """Without its term the error here would be 1.4 times too large."""
        a = np.random.default_rng(2).normal(size=500)
        found = mean_with_part(a, -0.5 * a, "")
        assert found.standard_error == pytest.approx(0.5 * a.std(ddof=1) / 500**0.5)
        assert found.estimator == ""

    def test_more_extra_than_examples_is_refused(self):
        with pytest.raises(ValueError, match="expected 1 to 2"):
            mean_with_part([1.0, 2.0], [1.0, 2.0, 3.0], "")


class TestJackknife:
    def test_of_a_ratio_it_is_the_delta_methods(self):
        """Var(x̄/ȳ) ≈ s²(x - r y) / (n ȳ²), a smooth statistic of 4,000 examples in 40 groups.

        The jackknife's own relative error is about 1 / √(2·39) = 11%.
        """
        rng = np.random.default_rng(0)
        y = rng.uniform(1.0, 3.0, 4000)
        x = 2 * y + rng.normal(size=4000)
        ratio = x.mean() / y.mean()
        delta = (x - ratio * y).std(ddof=1) / 4000**0.5 / y.mean()
        found = jackknife(lambda a, b: float(a.mean() / b.mean()), x, y, groups=40)
        assert found == pytest.approx(delta, rel=0.3)

    @pytest.mark.parametrize("groups", [1, 5])
    def test_groups_that_cannot_be_are_refused(self, groups):
        with pytest.raises(ValueError, match="groups="):
            jackknife(lambda a: 0.0, np.zeros(4), groups=groups)


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Estimate(-101.3943, 0.2961, 9, "", "nats"), "-101.39 ± 0.30 nats"),
        (Estimate(1234.5, 31.0, 9, ""), "1,234 ± 31"),
        (Estimate(12345.6, 310.0, 9, ""), "12,346 ± 310"),
        (Estimate(13.0, None, 9, ""), "13"),
        (Estimate(0.98763, None, 9, ""), "0.9876"),
        (Estimate(0.5, 0.0, 9, "", "bits"), "0.5 bits"),
        (Estimate(16.0, 1e-150, 9, ""), "16"),
        (Estimate(5.0, 9.3e-8, 9, ""), "5"),  # beyond float32
        (Estimate(0.0, 1e-150, 9, ""), "0.000000000 ± 0.000000000"),
        (Estimate(float("nan"), None, 9, ""), "nan"),
        (Estimate(float("inf"), None, 9, ""), "inf"),
    ],
)
def test_a_figure_shows_as_many_digits_as_it_has(figure, text):
    assert str(figure) == text


def test_nan_is_none_in_json():
    assert Estimate(float("nan"), 1.0, 2, "how").as_json() == {
        "value": None, "standard_error": 1.0, "n": 2, "estimator": "how", "unit": "",
    }  # fmt: skip


@pytest.mark.parametrize("p", [0.02, 0.5, 0.9])
def test_the_error_of_a_share_is_its_spread_and_never_0(p):
    """2,000 counts of 200, whose spread is √(p (1 - p)/200).

    p̃ adds a hit and a miss, which at p = 0.02 makes the error a tenth too large: the safe side.
    """
    hits = np.random.default_rng(0).random((2000, 200)) < p
    errors = [share_of(h).standard_error for h in hits]
    assert np.mean(errors) == pytest.approx(np.sqrt(p * (1 - p) / 200), rel=0.2)
    assert min(errors) > 0
    assert share_of(0.25, 8).value == 0.25
    assert share_of([True] * 98).standard_error == pytest.approx(np.sqrt(0.99 * 0.01 / 98))


def test_figures_of_earlier_files_have_the_names_of_today(tmp_path):
    figure = Estimate(1.0, None, 3, "mean").as_json()
    sections = {"likelihood": {"title": "Bounds", "figures": {"rate": figure}}}
    (tmp_path / "evaluation.json").write_text(json.dumps({"format": 1, "sections": sections}))
    found = read(tmp_path / "evaluation.json")
    assert list(found["sections"]["likelihood"]) == ["kl_loss"]
