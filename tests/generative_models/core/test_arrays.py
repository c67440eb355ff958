"""The one conversion of data, labels and codes: what comes in is meant as such, or is refused."""

import decimal
import fractions

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from flax import nnx

from workshop.generative_models.core.arrays import (
    check_finite,
    inside_transformation,
    is_concrete,
    read_codes,
    read_data,
    read_labels,
    read_latents,
)
from workshop.generative_models.core.containers import is_lazy, to_array
from workshop.generative_models.core.numbers import refuse_ambiguous_bytes

VALUES = np.array([[0.0, 1.0, -2.5], [3.25, 100.0, 0.125]])
INTEGERS = np.array([[0, 1, 2], [3, 100, 250]])


class Tensor:
    """The part of torch.Tensor that NumPy users meet: bfloat16 has no `numpy`, a graph neither."""

    def __init__(self, values, dtype="torch.float32", requires_grad=True, device="cuda"):
        self.values, self.dtype, self.shape = np.asarray(values), dtype, np.shape(values)
        self.requires_grad, self.device = requires_grad, device

    def _like(self, **changes):
        return Tensor(self.values, **{**vars_of(self), **changes})

    def detach(self):
        return self._like(requires_grad=False)

    def cpu(self):
        return self._like(device="cpu")

    def float(self):
        return self._like(dtype="torch.float32")

    def __len__(self):
        return len(self.values)

    def __getitem__(self, where):
        return Tensor(self.values[where], **vars_of(self))

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad or self.device != "cpu" or self.dtype == "torch.bfloat16":
            raise TypeError("can't convert this tensor to numpy")
        return np.asarray(self.values, dtype)


def vars_of(tensor):
    return {name: getattr(tensor, name) for name in ("dtype", "requires_grad", "device")}


class RowsOnly:
    """What the guide promises to suffice: shape, dtype, and rows by an array of integers."""

    def __init__(self, values):
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, rows):
        assert isinstance(rows, np.ndarray)
        assert rows.dtype.kind == "i"
        return self._values[rows]


def pandas():
    return pytest.importorskip("pandas")


CONTAINERS = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a.tolist())),
    "list of arrays": list,
    "Fortran order": np.asfortranarray,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed twice": lambda a: a[::-1].copy()[::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "matrix": lambda a: a.view(np.matrix),
    "nothing masked": np.ma.masked_array,
    "tensor": Tensor,
    "bfloat16 tensor": lambda a: Tensor(a, "torch.bfloat16"),
    "jax": jnp.asarray,
    "frame": lambda a: pandas().DataFrame(a).iloc[::-1].iloc[::-1],
    "shuffled frame": lambda a: pandas().DataFrame(a, index=[7, 3]),
    "frame of nullable columns": lambda a: pandas().DataFrame(a).convert_dtypes(),
    "frame of one name": lambda a: pandas().DataFrame(a, columns=["a", "a", "a"]),
    "table": lambda a: pytest.importorskip("pyarrow").table(
        {c: a[:, i] for i, c in enumerate("abc")}
    ),
}


@pytest.mark.parametrize("values", [VALUES, INTEGERS, INTEGERS % 2 > 0], ids=["f", "i", "b"])
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_data_is_read_by_position_whatever_holds_it(container, values):
    x = np.asarray(read_data("x", CONTAINERS[container](values)))
    assert x.dtype == (np.uint8 if values.dtype == bool else np.float32)
    assert x.dtype.isnative
    expected = values * 255 if values.dtype == bool else values
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize(
    "dtype",
    ["f2", ">f4", "f8", "g", "i1", "u2", ">i4", "u4", "i8", ">u8", ml_dtypes.bfloat16,
     ml_dtypes.float8_e4m3fn, ml_dtypes.int4],
    ids=str,
)  # fmt: skip
def test_every_type_of_number_but_bytes_is_taken_as_it_is(dtype):
    given = np.array([[0, 1, 4], [2, 3, 7]]).astype(dtype)
    x = read_data("x", given)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [[0, 1, 4], [2, 3, 7]])


def test_bytes_stay_bytes_and_what_is_as_it_should_be_is_not_copied():
    for x in (np.arange(6, dtype=np.uint8).reshape(2, 3), VALUES.astype(np.float32)):
        assert np.shares_memory(read_data("x", x), x)
    assert read_data("x", Tensor(np.arange(6, dtype=np.uint8), "torch.uint8")).dtype == np.uint8
    frame = pandas().DataFrame({"a": np.arange(3, dtype=np.uint8)})
    assert read_data("x", frame).dtype == np.uint8


def test_a_traced_array_is_only_converted():
    def read(x):
        return read_data("x", x)

    for dtype in ("int32", "bool", "float16", "bfloat16", "float32"):
        assert jax.eval_shape(read, jax.ShapeDtypeStruct((2, 3, 4), dtype)).dtype == jnp.float32
    assert jax.eval_shape(read, jax.ShapeDtypeStruct((2, 3), "uint8")).dtype == jnp.uint8
    with pytest.raises(ValueError, match="x is of type complex64: expected numbers"):
        jax.eval_shape(read, jax.ShapeDtypeStruct((2, 3), "complex64"))


def structured():
    return np.array([(1, 2.0)], dtype=[("a", int), ("b", float)])


REFUSED = {
    "nothing": (lambda: None, "x is of type NoneType: expected an array"),
    "complex": (lambda: np.ones((2, 2)) * 1j, r"x is of type complex128.*numpy.stack\(\[x.real"),
    "complex list": (lambda: [[1j, 2.0]], "x is of type complex128"),
    "name": (lambda: "digits", r"x='digits'.*load_dataset\('digits'\)"),
    "strings": (lambda: np.array([["1", "2"]]), "x is of type <U1: expected numbers, not strings"),
    "bytestrings": (lambda: np.array([[b"1"]]), "not strings"),
    "new strings": (lambda: np.array([["1"]], np.dtypes.StringDType()), "not strings"),
    "strings in a list": (lambda: [[1.0, "a"]], r"Python objects \(float, str\)"),
    "times": (lambda: np.array([["2020-01-01"]], "M8[D]"), r"datetime64\[D\].*give times as"),
    "durations": (lambda: np.array([[1]], "m8[s]"), "give durations as numbers"),
    "objects": (lambda: np.array([[1, 2.0]], object), "x is of type object.*rectangular"),
    "fields": (structured, "structured_to_unstructured"),
    "ragged": (lambda: [[1.0], [1.0, 2.0]], "x cannot be read as one array .*differ in length"),
    "none inside": (lambda: [[1.0, None], [None, 1.0]], "x has 2 missing values of 4.* position 1"),
    "decimals": (lambda: [[decimal.Decimal(1)]], r"Python objects \(Decimal\)"),
    "fractions": (lambda: [[fractions.Fraction(1, 2)]], r"Python objects \(Fraction\)"),
    "set": (lambda: {1, 2}, "x is a set, which"),
    "dictionary": (lambda: {"a": 1}, "x is of type dict"),
    "generator": (lambda: (i for i in range(3)), r"x is a generator.*numpy.stack\(list\(x\)\)"),
    "map": (lambda: map(int, "12"), "x is a map, which can be read only in its own order"),
    "an object": (object, "x is of type object: expected an array"),
    "a function": (lambda: print, "x is of type builtin_function_or_method: expected an array"),
    "masked": (
        lambda: np.ma.masked_array([[1, 2], [3, 4]], [[0, 1], [0, 0]]),
        r"masked array with 1 masked values: fill them, x.filled\(value\)",
    ),
    "masked rows in a list": (
        lambda: list(np.ma.masked_array([[1, 2], [3, 4]], [[0, 0], [0, 1]])),
        r"x\[1\] is a masked array with 1 masked values",
    ),
    "lazy and masked": (
        lambda: RowsOnly(np.ma.masked_array([[1.0, 2.0]], [[0, 1]])),
        r"x is a masked array with 1 masked values",
    ),
    "csr": (lambda: scipy.sparse.csr_matrix(np.eye(3)), r"x is a sparse csr_matrix.*toarray\(\)"),
    "coo": (lambda: scipy.sparse.coo_array(np.eye(3)), r"sparse coo_array.*x.toarray\(\)"),
    "frame with text": (
        lambda: pandas().DataFrame({"age": [1, 2], "city": ["a", "b"]}),
        "x, column 'city', is of type str: expected numbers; leave it out, or encode it",
    ),
    "frame with gaps": (
        lambda: pandas().DataFrame({"on": pandas().array([True, None], dtype="boolean")}),
        "x, column 'on', has 1 missing values of 2, the first at position 1",
    ),
    "frame without columns": (lambda: pandas().DataFrame(index=[1, 2]), "x has no columns"),
    "frame of identifiers": (
        lambda: pandas().DataFrame({"id": [2**60 + 1, 2], "size": [0.5, 1.5]}),
        r"x, column 'id', holds the integer 1152921504606846977 at \(0,\)",
    ),
    "wrapping": (lambda: np.full((4, 3), 2**32 + 1), r"integer 4294967297 at \(0, 0\).*4294967296"),
    "milliseconds": (lambda: np.array([[0], [1700000000001]]), r"1700000000001 at \(1, 0\)"),
    "the largest": (lambda: np.array([[2**63 - 1]]), "integer 9223372036854775807"),
    "the largest of all": (lambda: np.array([[2**64 - 1]], np.uint64), "18446744073709551615"),
    "beyond 64 bits": (lambda: [[2**70]], "x is of type object"),
    "one beyond 24 bits": (lambda: np.array([[-(2**24) - 1]], np.int32), "integer -16777217"),
    "overflow": (lambda: np.array([[1.0, -1e300]]), r"1 values beyond float32.*\(0, 1\): -1e\+300"),
    "underflow": (lambda: np.full((2, 2), 1e-60), "below what float32 resolves .*1e-60"),
    "int64 images": (
        lambda: np.arange(24).reshape(2, 3, 4),
        r"int64 from 0 to 23.*x.astype\(numpy.uint8\) for pixels.*x.astype\(numpy.float32\)",
    ),
    "int16 images": (lambda: np.full((2, 3, 4, 1), 4095, "i2"), "give x / 4095, or x.astype"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_become_other_numbers_is_refused_by_name(case):
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        read_data("x", make())


def test_large_integers_that_float32_holds_are_taken():
    x = np.array([[2**24, 2**30], [-(2**62), 3 * 2**40]])
    np.testing.assert_array_equal(read_data("x", x).astype(np.float64), x)
    np.testing.assert_array_equal(read_data("x", np.array([[2**63]], np.uint64)), 2.0**63)


def test_nan_and_infinity_are_left_to_the_check_of_data():
    x = read_data("x", [[np.nan, np.inf, -np.inf, 1e-60]])
    np.testing.assert_array_equal(x, [[np.nan, np.inf, -np.inf, 0]])


@pytest.mark.parametrize("dtype", ["i8", "u2", "f8"])
def test_images_of_zeros_and_ones_are_numbers_of_any_type_but_bytes(dtype):
    x = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    np.testing.assert_array_equal(read_data("x", x), x)


def test_bytes_of_zeros_and_ones_are_ambiguous():
    bits = np.eye(3, dtype=np.uint8)
    for x in (bits, jnp.asarray(bits)):
        with pytest.raises(ValueError, match=r"train .*uint8.*0 and 1.*train.astype\(bool\)"):
            refuse_ambiguous_bytes("train", x)
    for x in (bits * 0, bits * 255, bits * 2, bits.astype(np.float32), read_data("x", bits > 0)):
        refuse_ambiguous_bytes("train", x)


@pytest.mark.parametrize(
    ("make", "lazy"),
    [
        (lambda p: RowsOnly(VALUES), True),
        (lambda p: np.memmap(p / "x", np.float32, "w+", shape=(2, 3)), True),
        (lambda p: VALUES, False),
        (lambda p: np.ma.masked_array(VALUES), False),
        (lambda p: jnp.asarray(VALUES), False),
        (lambda p: Tensor(VALUES), False),
        (lambda p: VALUES.tolist(), False),
        (lambda p: scipy.sparse.csr_matrix(VALUES), False),
        (lambda p: pandas().DataFrame(VALUES), False),
        (lambda p: pandas().Series(VALUES[0]), False),
        (lambda p: pandas().Series(["a"], dtype="category"), False),
        (lambda p: "abc", False),
        (lambda p: None, False),
    ],
)
def test_lazy_is_what_has_shape_dtype_and_rows(make, lazy, tmp_path):
    assert is_lazy(make(tmp_path)) is lazy


LABELS = {
    "list": [2, 0, 1],
    "int64": np.array([2, 0, 1]),
    "big-endian": np.array([2, 0, 1], ">i4"),
    "uint64": np.array([2, 0, 1], np.uint64),
    "jax": jnp.array([2, 0, 1]),
    "tensor": Tensor(np.array([2, 0, 1]), "torch.int64"),
    "series": lambda: pandas().Series([2, 0, 1], index=[1, 2, 0]),
    "nullable": lambda: pandas().Series([2, 0, 1], dtype="Int64", index=[1, 2, 0]),
    "categorical numbers": lambda: pandas().Series([2, 0, 1], dtype="category"),
    "index": lambda: pandas().Index([2, 0, 1]),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_are_read_by_position(case):
    y = LABELS[case]
    labels = np.asarray(read_labels("y", y() if callable(y) else y))
    assert labels.dtype == np.int32
    assert labels.tolist() == [2, 0, 1]


def test_labels_of_two_classes_and_rows_of_conditions():
    assert read_labels("y", np.array([True, False])).tolist() == [1, 0]
    assert read_labels("y", 3).shape == ()
    rows = read_labels("y", np.array([[0.25, 0.75]]))
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0.25, 0.75]]
    assert jax.eval_shape(lambda y: read_labels("y", y), jnp.zeros(3, bool)).dtype == jnp.int32


NAMES = "y is of type .*numpy.unique.y, return_inverse=True.*from_arrays.x, y"
BAD_LABELS = {
    "names": (lambda: ["a", "b"], NAMES),
    "array of names": (lambda: np.array(["a", "b"]), NAMES),
    "objects": (lambda: np.array(["a", "b"], object), NAMES),
    "series of names": (lambda: pandas().Series(["a", "b"]), NAMES),
    "categorical": (lambda: pandas().Series(["a", "b"], dtype="category"), NAMES),
    "names and NaN": (lambda: ["a", float("nan")], "1 missing values of 2"),
    "nullable": (lambda: pandas().Series([1, None, 0], dtype="boolean"), "missing values"),
    "a gap in names": (lambda: pandas().Series(["a", None]), "1 missing values of 2"),
    "identifiers": (lambda: np.array([2**32, 1]), "from 1 to 4294967296, which int32 cannot"),
    "dates": (lambda: np.array(["2020"], "M8[Y]"), "y is of type datetime64"),
    "complex": (lambda: np.array([1j]), "y is of type complex128: expected integer labels"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_labels_that_are_no_labels_are_refused_with_a_way_out(case):
    make, message = BAD_LABELS[case]
    with pytest.raises(ValueError, match=message):
        read_labels("y", make())


def test_latents_are_numbers_of_any_type_and_never_bytes():
    for dtype in ("u1", "i8", "f8", ">f4", "?"):
        z = read_latents("z", np.array([[0, 1]], dtype))
        assert z.dtype == np.float32
        assert z.tolist() == [[0, 1]]
    for bad in (np.array([[1j]]), np.array([[2**40 + 1]]), [["a"]], "a", [[1e300]]):
        with pytest.raises(ValueError, match=r"^z"):
            read_latents("z", bad)


def test_an_array_of_jax_without_its_memory_is_refused():
    x = jnp.ones((2, 3))
    x.delete()
    with pytest.raises(ValueError, match=r"x cannot be read .*has been deleted"):
        read_data("x", x)


def test_suggestions_name_the_variable_alone():
    with pytest.raises(ValueError, match=r"elbo: y is of type .*numpy.unique\(y, return.*\(x, y\)"):
        read_labels("elbo: y", ["a"])


def test_codes_are_integers_of_at_most_32_bits():
    for dtype, expected in (("i8", "int32"), (">i2", "int32"), ("u1", "uint8"), ("u8", "int32")):
        codes = read_codes("x", np.array([[3, 5]], dtype))
        assert codes.dtype == expected
        assert codes.tolist() == [[3, 5]]
    with pytest.raises(ValueError, match="x holds integers from 1 to 4294967297, which int32"):
        read_codes("x", np.array([[1, 2**32 + 1]]))
    for bad in (np.ones((2, 2)), np.ones((2, 2), bool), [["a"]]):
        with pytest.raises(ValueError, match=r"x is of type .*: expected integer codes"):
            read_codes("x", bad)


def test_what_a_foreign_object_raises_is_named():
    class Broken:
        shape, dtype = (2, 3), "torch.float32"

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("device lost")

    with pytest.raises(ValueError, match=r"train cannot be read .*RuntimeError: device lost"):
        to_array("train", Broken())


@pytest.mark.parametrize(
    ("offset", "spread", "lost"),
    # float32 resolves 1e9 to 64, and its rounding is half of that at the most.
    [(1e9, 1.0, True), (1e9, 1e3, True), (1e9, 1e5, False), (0, 1e-9, False), (1e12, 0, False)],
)
def test_digits_that_float32_would_lose_beside_a_mean_are_logged(caplog, offset, spread, lost):
    x = offset + spread * np.random.default_rng(0).normal(size=(50, 2))
    x[:, 0] = 0.1
    read_data("x", x)
    assert bool(caplog.records) == lost
    if lost:
        assert "x: float32 keeps less than two digits of how 1 columns vary: 1 (" in caplog.text
    caplog.clear()
    read_data("x", x.astype(np.float32))  # as given, nothing is lost
    assert not caplog.records


# Traced and not finite.


def test_being_inside_a_transformation_is_noticed():
    def seen(x):
        found.append(inside_transformation())
        return x.sum()

    found = []
    seen(jnp.ones(2))
    jax.jit(seen)(jnp.ones(2))
    jax.grad(seen)(jnp.ones(2))
    jax.vmap(seen)(jnp.ones((1, 2)))
    nnx.jit(seen)(jnp.ones(2))
    seen(jnp.ones(2))
    assert found == [False, True, True, True, True, False]


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_check_finite_names_the_array(kind):
    for good in ([1.0, 2.0], [], [1, 2], [True], [3e38]):
        check_finite("x", kind(good))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="x holds NaN or infinite values: clean or drop"):
            check_finite("x", kind([0.0, bad]))


def test_check_finite_counts_what_float32_cannot_hold_as_infinite():
    with pytest.raises(ValueError, match="batch holds NaN"):
        check_finite("batch", np.array([1e300]))


def test_traced_values_are_not_looked_at():
    def traced(x):
        check_finite("x", x)
        return jnp.asarray(is_concrete(x))

    assert not jax.jit(traced)(jnp.array([jnp.nan]))
    assert not jax.vmap(traced)(jnp.array([jnp.nan]))[0]
    assert is_concrete(jnp.ones(2))
    assert is_concrete(np.ones(2))
