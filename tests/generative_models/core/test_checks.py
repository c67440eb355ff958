import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop.generative_models.core import checks


@pytest.fixture(autouse=True)
def _wrong_types_reach_the_library():
    """Let wrong types through, as they come outside of the tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("value", [1, 7, 10**12, np.int64(3), np.uint8(4)])
def test_a_positive_integer_comes_back_as_a_python_int(value):
    result = checks.positive_int("steps", value)
    assert type(result) is int
    assert result == value


@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, "3", None, True, [1], float("nan")])
def test_what_is_no_positive_integer_is_named_with_its_value(value):
    with pytest.raises(ValueError, match=r"^steps=") as error:
        checks.positive_int("steps", value)
    assert str(error.value) == f"steps={value!r}: expected a positive integer"


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=5))
def test_shapes_are_tuples_of_any_sequence(sizes):
    for given_as in (sizes, tuple(sizes), [np.int64(size) for size in sizes]):
        assert checks.shape("input_dim", given_as) == tuple(sizes)
    assert checks.shape("input_dim", sizes[0]) == (sizes[0],)


@pytest.mark.parametrize("value", [(), [], (3, 0), (3, -1), (2.0,), "34", None, (True,)])
def test_what_is_no_shape_is_refused(value):
    with pytest.raises(ValueError, match=r"^input_dim=.*: expected "):
        checks.shape("input_dim", value)


def test_an_empty_shape_gets_an_example():
    with pytest.raises(ValueError, match=r"input_dim=\(\): .* such as \(784,\)"):
        checks.shape("input_dim", ())


def test_image_shapes_have_three_axes_or_a_way_out():
    assert checks.image_shape("input_dim", [28, 27, 1]) == (28, 27, 1)
    for value in ((784,), 784, (28, 28), (1, 28, 28, 1)):
        with pytest.raises(ValueError, match=r"\(height, width, channels\); use encoder_type='d"):
            checks.image_shape("input_dim", value)


def test_one_of_several_names():
    options = {"relu": 1, "tanh": 2, "gelu": 3}
    assert checks.one_of("activation", "tanh", options) == "tanh"
    with pytest.raises(ValueError, match="activation=") as error:
        checks.one_of("activation", "tahn", options)
    assert str(error.value) == (
        "activation='tahn': expected one of gelu, relu, tanh; did you mean 'tanh'?"
    )
    for value in (None, 3, "something else"):
        with pytest.raises(ValueError, match=r"expected one of gelu, relu, tanh$"):
            checks.one_of("activation", value, options)


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 3, np.float32(2), 1e300])
def test_numbers_that_are_high_enough_come_back(value):
    assert checks.at_least("beta", value, 0.0) is value


@pytest.mark.parametrize(
    "value", [-1e-9, -3, float("nan"), float("inf"), -float("inf"), "1", None, [1.0]]
)
def test_other_numbers_and_what_is_none_are_named(value):
    with pytest.raises(ValueError, match=r"^beta=") as error:
        checks.at_least("beta", value, 0.0)
    assert str(error.value) == f"beta={value!r}: expected a finite number >= 0"


def test_conditioning_arguments_need_something_to_condition():
    checks.no_condition(None, None)
    for num_classes, embed_dim in ((10, None), (None, 4), (10, 4)):
        with pytest.raises(ValueError, match="without conditional=True: set conditional=True"):
            checks.no_condition(num_classes, embed_dim)


def test_a_shape_may_be_an_array_of_numpy():
    assert checks.shape("hidden_dims", np.array([4, 5])) == (4, 5)
    assert checks.shape("hidden_dims", np.int64(4)) == (4,)


@pytest.mark.parametrize("value", [True, False, np.True_])
def test_flags_come_back_as_python_bools(value):
    assert checks.flag("keep_best", value) is bool(value)


@pytest.mark.parametrize("value", ["no", "", 0, 1, None, [False]])
def test_what_only_counts_as_true_or_false_is_no_flag(value):
    with pytest.raises(ValueError, match=r"keep_best=.*: expected True or False"):
        checks.flag("keep_best", value)
