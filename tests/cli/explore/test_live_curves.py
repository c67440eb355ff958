import json
import math

import pytest

from workshop.cli.explore.curves import Curves, charts


def row(step, split="train", **metrics):
    return {"step": step, "split": split, **metrics}


def test_a_chart_has_what_the_rows_have():
    rows = [row(2, elbo=-3.0), row(1, elbo=-4.0), row(2, "validation", elbo=math.nan)]
    (chart,) = charts(rows).values()
    assert chart["title"]["text"] == "ELBO (higher is better, nats)"
    data = {series["name"]: series["data"] for series in chart["series"]}
    assert data == {"train": [[1, -4], [2, -3]], "validation": [[2, None]]}


def test_what_never_changes_has_no_chart():
    rows = [row(step, beta=1.0, loss=30.0 - step, kl_loss=2.0 + 1e-7 * step) for step in range(5)]
    assert list(charts(rows)) == ["loss"]


def test_a_far_value_does_not_flatten_the_others():
    rows = [row(step, loss=1e6 if step == 0 else 10.0 + step) for step in range(50)]
    axis = charts(rows)["loss"]["yAxis"]
    assert axis["max"] < 100
    assert "max" not in charts(rows[1:])["loss"]["yAxis"]


def test_a_file_is_followed_while_it_grows(tmp_path):
    path = tmp_path / "metrics.jsonl"
    curves = Curves(path)
    assert not curves.changed()
    path.write_text(json.dumps(row(1, loss=5.0)) + "\n" + '{"step": 2, "spl')  # half a line
    assert curves.changed()
    assert curves.step == 1
    assert not curves.changed()
    path.write_text("".join(json.dumps(row(s, loss=5.0 - s)) + "\n" for s in (1, 2)))
    assert curves.changed()
    assert curves.step == 2
    assert curves.charts["loss"]["series"][0]["data"] == [[1, 4], [2, 3]]


@pytest.mark.parametrize("line", ["no json\n", "[1]\n", '{"loss": 1}\n', '{"step": "a"}\n'])
def test_a_damaged_file_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(line)
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged"):
        Curves(path).changed()
