"""Whatever a person passes as data trains as it was meant, or is refused by an error that names it.

Values, their type and what holds them are drawn independently. What they mean is known beforehand,
from the values alone: the oracle is the model's metrics for these numbers in a plain float32 array.
"""

import re
from functools import cache

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
import scipy.sparse
from flax import nnx
from hypothesis import event, given, settings
from hypothesis import strategies as st

from workshop.estimator import VAEEstimator
from workshop.generative_models.core.configuration import (
    ConditionalVAEConfig,
    DecoderConfig,
    EncoderConfig,
)
from workshop.generative_models.data import from_arrays
from workshop.generative_models.models.vae import ConditionalVAE
from workshop.generative_models.training import Trainer

pandas = pytest.importorskip("pandas")
N, D, CLASSES = 12, 4, 3
ADAM = optax.adam(1e-3)


@cache
def model():
    config = ConditionalVAEConfig(
        encoder=EncoderConfig(hidden_dims=(4,), latent_dim=2, input_shape=(D,)),
        decoder=DecoderConfig(
            hidden_dims=(4,), latent_dim=2, output_shape=(D,), output_activation="identity"
        ),
        condition_dim=CLASSES,
    )
    return ConditionalVAE(config, rngs=nnx.Rngs(0))


@cache
def estimator():
    return VAEEstimator(hidden_dims=(4,), max_iter=1, random_state=0).fit(np.eye(N, D))


TYPES = [
    "f4", "f8", ">f4", "f2", "g", "i8", "i4", ">i2", "u8", "u1", "i1", "?",
    ml_dtypes.bfloat16, "c8", "U8", "S8", "O", "M8[s]", "m8[s]", [("a", "f4")],
]  # fmt: skip
VALUES = [0, 1, 2, 3, 100, 250, -1, 0.5, 1e-60, 2**24 + 1, 2**40 + 1, 1e300, np.nan, np.inf]
SHAPES = [(N, D)] * 6 + [(N, D - 1), (0, D), (N,), (), (N, 2, 2), (N, D, 1)]


class Tensor:
    """As torch.Tensor: NumPy reads it only after `detach` and `cpu`."""

    def __init__(self, values, detached=False, here=False):
        self.values, self.detached, self.here = values, detached, here
        self.shape, self.dtype = values.shape, f"torch.{values.dtype}"

    def detach(self):
        return Tensor(self.values, True, self.here)

    def cpu(self):
        return Tensor(self.values, self.detached, True)

    def float(self):
        return Tensor(self.values.astype(np.float32), self.detached, self.here)

    def __array__(self, dtype=None, copy=None):
        if not (self.detached and self.here):
            raise TypeError("call detach and cpu first")
        return self.values


class RowsOnly:
    """Shape, dtype, and rows by an array of integers."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __getitem__(self, rows):
        return self.values[rows]


class Items:
    """As torch.utils.data.Dataset."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        return self.values[int(i)]


def shuffled(values):
    return np.random.default_rng(7).permutation(len(values))


CONTAINERS = {
    "array": lambda a: a,
    "list": lambda a: a.tolist(),
    "rows": list,
    "frame": lambda a: pandas.DataFrame(a, index=shuffled(a)),
    "nullable frame": lambda a: pandas.DataFrame(a, index=shuffled(a)).convert_dtypes(),
    "series": lambda a: pandas.Series(list(a) if a.ndim > 1 else a, index=shuffled(a)),
    "category": lambda a: pandas.Series(a, index=shuffled(a), dtype="category"),
    "masked": lambda a: np.ma.masked_array(a, np.arange(a.size).reshape(a.shape) == 1),
    "nothing masked": np.ma.masked_array,
    "tensor": Tensor,
    "lazy": RowsOnly,
    "items": Items,
    "jax": jnp.asarray,
    "sparse": scipy.sparse.csr_array,
    "reversed twice": lambda a: a[::-1][::-1],
    "iterator": iter,
    "generator": lambda a: (row for row in a),
    "None": lambda a: None,
    "text": lambda a: str(a),
}


@st.composite
def arrays(draw, shapes=SHAPES):
    """What somebody passes, and the numbers that are meant by it, or None if nothing is."""
    shape = draw(st.sampled_from(shapes))
    few = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=4))
    values = np.resize(np.array(few, object), shape)
    dtype = draw(st.sampled_from(TYPES))
    try:
        with np.errstate(all="ignore"):
            array = values.astype(dtype)
        kind = draw(st.sampled_from(list(CONTAINERS)))
        passed = CONTAINERS[kind](array)
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        return None, None  # nobody could have made it
    array = np.asarray(passed) if kind == "jax" else array  # which has types of its own
    if array.dtype.kind not in "biufO" and array.dtype != ml_dtypes.bfloat16:
        return passed, None
    bytes_ = array.dtype == np.uint8 and kind != "list"  # of which NumPy makes integers
    return passed, array.astype(np.float64) / (255 if bytes_ else 1)


LABELS = [0, 1, 2, -1, 3, 0.5, 2**32, np.nan, None, "a", "b", True]


@st.composite
def labels(draw):
    few = draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=3))
    values = np.resize(np.array(few, object), draw(st.sampled_from([(N,), (N,), (N - 1,), (N, 1)])))
    kind = draw(st.sampled_from([k for k in CONTAINERS if k not in ("items", "rows")]))
    dtype = draw(st.sampled_from(["i8", "u2", ">i4", "f8", "?", "O", "U4", "u1"]))
    try:
        with np.errstate(all="ignore"):
            array = values.astype(dtype)
        return CONTAINERS[kind](array), array
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        return None, None


def outcome(call, names):
    """What a call returns, or None if it refuses its argument by name."""
    try:
        result = call()
    except (TypeError, ValueError) as error:
        said = str(error)
    else:
        event("accepted")
        return result
    assert re.search(names, said), f"no argument is named: {said}"
    return None


def trainer():
    return Trainer(model(), ADAM, batch_size=4, progress=False)


@given(arrays())
def test_any_array(made):
    passed, meant = made
    found = outcome(lambda: trainer().evaluate(passed), r"data")
    if found is not None:
        assert meant is not None
        same = trainer().evaluate(meant.astype(np.float32).reshape(N, D))
        assert found == pytest.approx(same, rel=1e-5)  # bytes are another program
    fitted = outcome(lambda: trainer().fit(passed, steps=1), "train")
    assert (fitted is None) == (found is None)


@pytest.mark.slow
@settings(max_examples=40)
@given(labels())
def test_any_labels(made):
    passed, array = made
    x = np.arange(N * D, dtype=np.float32).reshape(N, D)
    given_labels = {"x": x, "y": passed}
    found = outcome(lambda: trainer().evaluate(given_labels), r"data\['y'\]|data: y|data has")
    if found is not None:
        numbers = {} if passed is None else {"y": array.astype(np.int32).reshape(N)}
        assert found == trainer().evaluate({"x": x, **numbers})
    data = outcome(lambda: from_arrays(x, passed), "y")
    if data is not None and passed is not None:
        names = data.class_names or range(N)
        for part in data.splits.values():
            rows = (part.x[:, 0] / D).astype(int)
            assert [names[i] for i in part.y] == array[rows].tolist()


@given(
    st.dictionaries(
        st.sampled_from(["x", "y", "X", "labels", "sample_weight", "mask", 0, None, ("x",)]),
        st.sampled_from([None, np.zeros((N, D), np.float32), np.zeros(N, int), [], "x"]),
        max_size=3,
    )
)
def test_any_keys(passed):
    found = outcome(lambda: trainer().evaluate(passed), "data")
    if found is not None:
        assert set(passed) <= {"x", "y"}
        assert passed["x"].shape == (N, D)


@settings(max_examples=40)
@given(arrays(shapes=[*SHAPES, (N, 5, 3), (2, D)]))
def test_any_array_in_splits(made):
    passed, meant = made
    data = outcome(lambda: from_arrays(passed), "x")
    if data is None:
        return
    assert meant is not None
    found = np.concatenate([part.x for part in data.splits.values()])
    found = found / 255 if found.dtype == np.uint8 else found
    rows = sorted(map(tuple, found.reshape(len(found), -1).tolist()))
    meant = meant.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(rows, sorted(map(tuple, meant.reshape(len(meant), -1).tolist())))


@given(arrays(shapes=[*SHAPES, (1, D)]))
def test_any_table(made):
    passed, meant = made
    means = outcome(lambda: estimator().transform(passed), "X")
    if means is not None:
        assert meant is not None
        same = estimator().transform(meant.astype(np.float32).reshape(-1, D))
        np.testing.assert_allclose(means, same, rtol=1e-6)
    scores = outcome(lambda: estimator().score_samples(passed), "X")
    assert (scores is None) == (means is None)
    if scores is not None:
        assert not np.isnan(scores).any()
