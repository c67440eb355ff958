"""Panels of a codebook's health: what is drawn against numpy, what is said against the verdict."""

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import StepPatch

from workshop.generative_models.evaluation.latents import codebook_health, verdict
from workshop.generative_models.visualization import codebook_panels


def steps(axes):
    return [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]


def said(figure):
    return " ".join(text.get_text() for text in figure.texts)


@pytest.mark.slow
@settings(max_examples=8)  # each draws a figure
@given(st.integers(2, 60), st.integers(1, 300), st.integers(0, 2**31 - 1))
def test_panels_show_the_shares_and_every_distance(size, n, seed):
    rng = np.random.default_rng(seed)
    health = codebook_health(
        rng.integers(0, rng.integers(1, size + 1), n), size, rng.normal(size=(size, 3))
    )
    usage, apart = codebook_panels(health).axes
    np.testing.assert_allclose(steps(usage)[0].values, 100 * np.sort(health.counts)[::-1] / n)
    used = health.counts > 0
    found = steps(apart)
    assert len(found) == 1 + (not used.all())
    for chosen, (values, edges, _) in zip((used, ~used), found, strict=False):
        inside = (edges[:-1, None] <= health.distances[chosen]) & (
            health.distances[chosen] < edges[1:, None]
        )
        np.testing.assert_allclose(values, 100 * inside.sum(1) / chosen.sum())
        assert inside.sum() == chosen.sum()  # none lies outside of the axis
    assert (apart.get_legend() is None) == used.all()
    assert "distance" in apart.get_xlabel()


def test_a_healthy_codebook_has_numbers_and_no_remedy():
    figure = codebook_panels(codebook_health(range(16), 16), title="Codes of a run")
    (usage,) = figure.axes
    assert usage.get_ylabel() == "% of all uses"
    assert said(figure) == (
        "Codes of a run 16 of 16 codes used (100%), perplexity 16.0, 4.00 bits an index."
    )


def test_a_collapsed_one_says_what_to_try():
    health = codebook_health([1, 2] * 500, 64, np.eye(64))
    assert said(codebook_panels(health, title="")).strip() == (
        f"{verdict(health)}. Perplexity 2.0, 1.00 bits an index."
    )
    labels = [text.get_text() for text in codebook_panels(health).axes[1].get_legend().texts]
    assert labels == ["used (2)", "never used (62)"]


@pytest.mark.parametrize("codes", [np.zeros((4, 2)), np.ones((4, 1)), np.eye(4)])
def test_equal_distances_are_drawn(codes):
    _, apart = codebook_panels(codebook_health([0, 1, 2, 3], 4, codes)).axes
    (found,) = steps(apart)
    assert found.values.sum() == pytest.approx(100)
    low, high = apart.get_xlim()
    assert low < high


def test_a_lone_code_has_no_distances_to_draw():
    assert len(codebook_panels(codebook_health([0], 1, [[1.0]])).axes) == 1


def test_settings_of_matplotlib_stay_as_they_were():
    before = dict(mpl.rcParams)
    codebook_panels(codebook_health([0, 1], 2))
    assert dict(mpl.rcParams) == before
