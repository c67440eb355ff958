"""Which examples the figures of a run show."""

import numpy as np
import pytest

from workshop.generative_models.data import Split
from workshop.generative_models.visualization.report import _pairs


@pytest.mark.parametrize("classes", [1, 2, 3, 5, 10, 12, 40])
def test_interpolations_go_between_classes_and_none_comes_twice(classes):
    y = np.repeat(np.arange(classes, dtype=np.int32), 13)
    pairs = _pairs(Split(np.zeros((len(y), 2), np.float32), y), of_one_class=False)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs) == 6
    assert all(y[a] != y[b] for a, b in pairs) or classes == 1


def test_a_class_of_one_example_and_data_without_labels_have_pairs():
    y = np.array([0, 0, 1], np.int32)
    pairs = _pairs(Split(np.zeros((3, 2), np.float32), y), of_one_class=False)
    assert all(0 <= a < 3 and 0 <= b < 3 and y[a] != y[b] for a, b in pairs)
    unlabelled = Split(np.zeros((12, 2), np.float32))
    assert _pairs(unlabelled, of_one_class=True)[-1] == (10, 11)
    labelled = Split(np.zeros((3, 2), np.float32), y)
    assert _pairs(labelled, of_one_class=True) == [(0, 1), (2, 2)]
