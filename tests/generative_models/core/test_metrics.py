"""Metrics: one label each, one direction, and a model's own before the table's."""

import math

from workshop.generative_models.core.metrics import METRICS, Metric, metric_of


def test_every_metric_has_a_label_of_its_own():
    assert len({metric.label for metric in METRICS.values()}) == len(METRICS)
    assert {metric.larger_is_better for metric in METRICS.values()} == {True, False, None}


def test_figures_of_further_codebooks_have_a_number():
    assert metric_of("used_3") == Metric("codes used, codebook 3", larger_is_better=True)
    assert len({metric_of(name).label for name in ("used", "used_1", "used_x")}) == 3


def test_a_models_own_metrics_come_first():
    own = {"elbo": Metric("bound"), "above": Metric("KL above 2 nats", "nats")}
    assert metric_of("elbo", own).label == "bound"
    assert metric_of("above_2", own).unit == "nats"
    assert metric_of("above") == Metric("above")


def test_nan_counts_as_the_worst_value_where_there_is_one():
    worst = [Metric("m", larger_is_better=larger).worst for larger in (True, False, None)]
    assert worst[:2] == [-math.inf, math.inf]
    assert math.isnan(worst[2])
