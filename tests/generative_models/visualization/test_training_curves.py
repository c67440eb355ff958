"""Training curves: the lines are the rows, and what is not shown is said."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import same_color

from workshop.generative_models.visualization import training_curves
from workshop.generative_models.visualization.style import BAD


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines() if line.get_label() != "_mark"}


def marks(axes):
    return [line for line in axes.get_lines() if line.get_label() == "_mark"]


def test_lines_are_the_rows():
    rng = np.random.default_rng(0)
    keys = {"loss": "Loss", "kl_loss": "KL", "my_own": "My own"}
    rows = [
        {"step": step, "split": split, **{key: rng.normal() for key in keys}}
        for step in range(0, 500, 10)
        for split in ("train", "validation")
    ]
    figure = training_curves(rows)
    assert list(panels(figure)) == list(keys.values())
    for key, title in keys.items():
        for split, line in lines(panels(figure)[title]).items():
            expected = [(row["step"], row[key]) for row in rows if row["split"] == split]
            np.testing.assert_array_equal(line.get_xydata(), expected)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["train", "validation"]
    for handle, split in zip(legend.legend_handles, ["train", "validation"], strict=True):
        for axes in figure.axes:
            assert same_color(handle.get_color(), lines(axes)[split].get_color())


def test_missing_keys_splits_and_order():
    rows = [
        {"step": 30, "elbo": -3.0},
        {"step": 10, "elbo": jnp.float32(-1.0), "note": "text", "list": [1, 2], "flag": True},
        {"step": 20, "split": "validation", "elbo": -2.5, "text": "beta"},
        {"step": 20, "beta": 0.5, "ragged": [[1], [1, 2]], "split": None},
        {"step": 25, "split": "test", "elbo": -2.0, "epoch": 3},
    ]
    figure = training_curves(rows)
    assert list(panels(figure)) == ["ELBO (higher is better)", "β, the weight of the KL"]
    elbo, beta = map(lines, figure.axes)
    assert list(elbo) == ["train", "validation", "test"]
    np.testing.assert_array_equal(elbo["train"].get_xydata(), [(10, -1), (30, -3)])
    np.testing.assert_array_equal(elbo["validation"].get_xydata(), [(20, -2.5)])
    np.testing.assert_array_equal(beta["train"].get_xydata(), [(20, 0.5)])


def test_repetitions_are_left_out_and_metrics_choose():
    row = {"step": 1, "loss": 3, "total_loss": 3, "recon_loss": 2, "reconstruction_loss": 2}
    first = {"Loss", "Reconstruction loss"}
    assert set(panels(training_curves([row]))) == first
    del row["loss"], row["reconstruction_loss"]
    assert set(panels(training_curves([row]))) == {"Loss", "Reconstruction loss"}
    chosen = training_curves([row], metrics=["recon_loss"])
    assert list(panels(chosen)) == ["Reconstruction loss"]


def test_units():
    row = {"step": 1, "elbo": -3, "total_loss": 3, "perplexity": 9, "codebook_loss": 1, "beta": 1}
    units = {title: axes.get_ylabel() for title, axes in panels(training_curves([row])).items()}
    in_nats = {title for title, unit in units.items() if unit == "nats"}
    assert in_nats == {"ELBO (higher is better)", "Loss"}


def test_a_single_row_is_a_visible_point():
    figure = training_curves([{"step": 5, "loss": 2.0}])
    (line,) = lines(figure.axes[0]).values()
    assert line.get_marker() == "o"
    low, high = figure.axes[0].get_ylim()
    assert low < 2 < high


def test_early_outliers_do_not_set_the_axis_but_are_counted():
    values = 100 + np.sin(np.arange(200.0))
    values[0], values[1] = 5e6, 4e6
    rows = [{"step": i, "loss": v} for i, v in enumerate(values)]
    (axes,) = training_curves(rows).axes
    low, high = axes.get_ylim()
    # Everything else is inside, and not much more.
    assert 98 < low < values[2:].min() < values[2:].max() < high < 102
    assert axes.get_xlabel() == "step\n▲ 2 above, up to 5e+06"
    (mark,) = marks(axes)
    assert (mark.get_marker(), mark.get_xdata().tolist()) == ("^", [0, 1])
    # The line still has them.
    np.testing.assert_array_equal(lines(axes)["train"].get_ydata(), values)


def test_outliers_below_and_values_that_are_not_finite():
    values = -100 + np.sin(np.arange(50.0))
    values[3], values[10], values[20], values[30] = -1e9, np.nan, np.inf, -np.inf
    (axes,) = training_curves([{"step": i, "elbo": v} for i, v in enumerate(values)]).axes
    assert axes.get_xlabel() == "step\n▼ 1 below, down to -1e+09\n✕ 3 not finite"
    below, bad = marks(axes)
    assert (below.get_marker(), below.get_xdata().tolist()) == ("v", [3])
    assert (bad.get_marker(), bad.get_xdata().tolist()) == ("x", [10, 20, 30])
    assert same_color(bad.get_color(), BAD)


def test_an_ordinary_descent_is_shown_whole():
    values = 90 + 450 * np.exp(-np.arange(200) / 30)
    (axes,) = training_curves([{"step": i, "loss": v} for i, v in enumerate(values)]).axes
    low, high = axes.get_ylim()
    assert low < values.min()
    assert values.max() < high
    assert not marks(axes)


def test_null_in_a_file_of_metrics_is_not_finite():
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}, {"step": 3, "loss": 1.0}]
    (axes,) = training_curves(rows).axes
    np.testing.assert_array_equal(lines(axes)["train"].get_ydata(), [2, np.nan, 1])
    assert axes.get_xlabel() == "step\n✕ 1 not finite"


def test_all_nan_is_drawn():
    (axes,) = training_curves([{"step": i, "loss": float("nan")} for i in range(3)]).axes
    assert "3 not finite" in axes.get_xlabel()


@pytest.mark.slow
@settings(max_examples=15)  # each draws a figure
@given(
    st.lists(
        st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=40
    )
)  # fmt: skip
def test_every_point_is_inside_marked_or_counted(values):
    (axes,) = training_curves([{"step": i, "m": v} for i, v in enumerate(values)]).axes
    values = np.array(values)
    low, high = axes.get_ylim()
    assert np.isfinite([low, high]).all()
    inside = (values >= low) & (values <= high)
    marked = np.concatenate([m.get_xdata() for m in marks(axes)]) if marks(axes) else []
    assert sorted(marked) == np.flatnonzero(~inside).tolist()
    # Only what lies beyond the middle 90% may be left out: 5% a side, rounded up to whole points.
    finite = np.isfinite(values).sum()
    assert inside.sum() >= finite - 2 * np.ceil(0.05 * finite)


WRONG = [
    (lambda: training_curves([]), r"training_curves\(rows\).*at least one row"),
    (lambda: training_curves([{"loss": 1}]), r"rows\[0\]\['step'\].*None"),
    (lambda: training_curves([{"step": 1}, {"step": "x", "a": 1}]), r"rows\[1\]\['step'\].*'x'"),
    (lambda: training_curves([{"step": float("nan"), "a": 1}]), r"rows\[0\]\['step'\].*nan"),
    (lambda: training_curves([{"step": 1, "note": "a"}]), r"training_curves\(rows\).*one number"),
    (lambda: training_curves([{"step": 1, "a": 1}], metrics=["b"]), r"metrics=\['b'\]\).* of a"),
    (lambda: training_curves([{"step": 1, "a": 1}], metrics=[]), r"metrics=\[\]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
