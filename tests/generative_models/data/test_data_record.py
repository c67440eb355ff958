"""The record of a run's splits: what was trained on never counts as test, however data changes."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.generative_models.data import Dataset, Split, from_arrays
from workshop.generative_models.data.record import (
    FILE,
    as_recorded,
    compare,
    read_record,
    unchanged,
    write_record,
)
from workshop.generative_models.data.rows import Rows

PARTS = ("train", "validation", "test")


def numbered(numbers, seed=0):
    """Examples that hold their own number, split as `load_dataset` splits them."""
    return from_arrays(np.asarray(numbers, np.float32)[:, None], seed=seed)


def held(dataset):
    return {part: sorted(split.x[:, 0].tolist()) for part, split in dataset.splits.items()}


def recorded(dataset, folder):
    write_record(dataset, folder)
    return read_record(folder)


@given(
    removed=st.sets(st.integers(0, 59), max_size=20),
    added=st.integers(0, 20),
    seed=st.integers(0, 3),
)
def test_every_example_stays_in_its_split(tmp_path_factory, removed, added, seed):
    """Sets of numbers are the oracle."""
    first = numbered(range(60))
    record = recorded(first, tmp_path_factory.mktemp("run"))
    now = numbered([i for i in range(60) if i not in removed] + list(range(100, 100 + added)), seed)
    expected = {part: sorted(set(numbers) - removed) for part, numbers in held(first).items()}
    new_in_test = [i for i in held(now)["test"] if i >= 100]
    if not expected["test"] and not new_in_test:
        with pytest.raises(ValueError, match="none is left to test on"):
            as_recorded(record, now)
        return
    found, change = as_recorded(record, now)
    expected["test"] += new_in_test
    for part in PARTS:
        if expected[part]:
            assert held(found)[part] == expected[part]
    if change is None:
        assert held(now) == held(first)
        return
    assert change.new == added
    assert sum(change.missing.values()) == len(removed)
    gone = {part: len(set(numbers) & removed) for part, numbers in held(first).items()}
    assert dict(change.missing) == gone


def test_data_that_did_not_change_is_left_as_it_is(tmp_path):
    data = numbered(range(30))
    record = recorded(data, tmp_path)
    assert unchanged(record, numbered(range(30)))
    found, change = as_recorded(record, data)
    assert found is data
    assert change is None
    other = numbered(range(30), seed=1)
    assert not unchanged(record, other)
    assert held(as_recorded(record, other)[0]) == held(data)
    assert "split or ordered in another way" in str(compare(record, other))


def test_equal_examples_are_counted(tmp_path):
    """Of ten equal examples of which eight were trained on, eight are still."""
    x = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1], np.float32)[:, None]
    parts = (Split(x), Split(x[6:]), Split(x[7:]))
    record = recorded(Dataset("d", *parts), tmp_path)
    turned = Dataset("d", Split(x[7:]), Split(x[6:]), Split(x[::-1].copy()))
    assert held(as_recorded(record, turned)[0]) == held(Dataset("d", *parts))


def test_other_data_is_split_afresh(tmp_path):
    record = recorded(numbered(range(30)), tmp_path)
    other = numbered(range(100, 140))
    found, change = as_recorded(record, other)
    assert held(found) == held(other)
    assert (change.new, change.found) == (40, 0)


def test_labels_factors_and_names_go_with_their_examples(tmp_path):
    def dataset(numbers):
        split = Split(
            np.array(numbers, np.float32)[:, None], np.array(numbers, np.int32),
            np.array(numbers, np.int32)[:, None], tuple(f"{i}.png" for i in numbers),
        )  # fmt: skip
        return Dataset("d", split.take([0, 1, 2]), split.take([3]), split.take([4]), ("",) * 9)

    record = recorded(dataset([0, 1, 2, 3, 4]), tmp_path)
    found, change = as_recorded(record, dataset([4, 3, 8, 1, 0]))
    assert found.train.names == ("1.png", "0.png")
    for split in found.splits.values():
        numbers = split.x[:, 0].tolist()
        assert split.y.tolist() == split.factors[:, 0].tolist() == numbers
        assert split.names == tuple(f"{int(i)}.png" for i in numbers)
    assert str(change) == "examples: 1 new: 8.png, 1 missing (1 of train): 2.png"


def on_disk(numbers, names):
    x = np.array(numbers, np.float32)[:, None]
    rows = Rows(lambda i: x[i], np.arange(len(x)), (1,), np.dtype(np.float32))
    split = Split(rows, names=tuple(f"{i}.png" for i in numbers) if names else None)
    return Dataset("d", split.take(slice(4, None)), split.take([2, 3]), split.take([0, 1]))


def test_examples_on_disk_are_known_by_name(tmp_path):
    record = recorded(on_disk(range(10), names=True), tmp_path)
    assert unchanged(record, on_disk(range(10), names=True))
    changed = on_disk([9, 8, 7, 6, 5, 4, 3, 2, 1, 20], names=True)
    found, change = as_recorded(record, changed)
    assert isinstance(found.train.x, Rows)
    x = {part: split.x[:][:, 0].tolist() for part, split in found.splits.items()}
    assert {part: sorted(numbers) for part, numbers in x.items()} == {
        "train": [4, 5, 6, 7, 8, 9], "validation": [2, 3], "test": [1]
    }  # fmt: skip
    for split in found.splits.values():
        assert [f"{int(i)}.png" for i in split.x[:][:, 0]] == list(split.names)
    assert (change.new, dict(change.missing)) == (1, {"train": 0, "validation": 0, "test": 1})


def test_examples_on_disk_without_names_must_not_change(tmp_path):
    record = recorded(on_disk(range(10), names=False), tmp_path)
    assert unchanged(record, on_disk(range(10), names=False))
    for numbers in ([*range(10), 11], [0, 1, 2, 3, 4, 5, 77, 7, 8, 9]):
        with pytest.raises(ValueError, match="cannot be told apart; restore it"):
            as_recorded(record, on_disk(numbers, names=False))


def test_a_record_of_many_examples_is_small(tmp_path):
    recorded(numbered(range(3000)), tmp_path)
    assert (tmp_path / FILE).stat().st_size < 3000 * 12, "100,000 examples: a megabyte"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "null",
        lambda text: "[" * 100_000,
        lambda text: json.dumps(json.loads(text) | {"test": []}),
        lambda text: json.dumps(json.loads(text) | {"test": {"examples": "3"}}),
        lambda text: json.dumps(json.loads(text) | {"test": {"examples": 1, "names": [{}]}}),
        lambda text: json.dumps(json.loads(text) | {"test": {"examples": 1, "names": "a"}}),
        lambda text: text.replace('"format":1', '"format":2'),
        lambda text: json.dumps(json.loads(text) | {"test": {"examples": 3, "digests": "AAAA"}}),
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "train"}),
        lambda text: json.dumps(json.loads(text) | {"test": {"examples": 1, "digests": "?"}}),
    ],
)
def test_a_damaged_record_is_named(tmp_path, damage):
    write_record(numbered(range(30)), tmp_path)
    path = tmp_path / FILE
    path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=re.escape(f"{path} is damaged")):
        read_record(tmp_path)
    assert read_record(tmp_path / "elsewhere") is None
