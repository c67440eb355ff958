import numpy as np

from workshop.generative_models.data.reading import gather


def test_rows_are_read_in_the_order_in_which_they_lie():
    asked = []

    class Rows:
        def __getitem__(self, indices):
            asked.append(indices.tolist())
            return indices * 10

    found = gather(Rows(), np.array([[5, 1], [3, 1]]))
    assert found.tolist() == [[50, 10], [30, 10]]
    assert asked == [[1, 3, 5]]  # each once
