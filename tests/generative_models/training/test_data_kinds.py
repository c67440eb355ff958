"""What people pass as data: it trains as the same numbers in arrays do, or is refused by name."""

import logging

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse
from flax import nnx

from workshop.generative_models.core.configuration import (
    ConditionalVAEConfig,
    DecoderConfig,
    EncoderConfig,
    VAEConfig,
)
from workshop.generative_models.data import Split, from_arrays
from workshop.generative_models.data.reading import as_arrays
from workshop.generative_models.data.rows import Rows
from workshop.generative_models.models.vae import VAE, ConditionalVAE
from workshop.generative_models.training import Trainer

ADAM = optax.adam(1e-2)
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 40)
X = (RNG.normal(size=(40, 4)) + 3 * Y[:, None]).astype(np.float32)


def parts(**decoder):
    return {
        "encoder": EncoderConfig(hidden_dims=(8,), latent_dim=2, input_shape=(4,)),
        "decoder": DecoderConfig(hidden_dims=(8,), latent_dim=2, output_shape=(4,), **decoder),
    }


def conditional():
    config = ConditionalVAEConfig(**parts(output_activation="identity"), condition_dim=3)
    return ConditionalVAE(config, rngs=nnx.Rngs(0))


def binary():
    return VAE(VAEConfig(**parts(), likelihood="bce"), rngs=nnx.Rngs(0))


def trainer(model, **options):
    return Trainer(model, ADAM, 10, progress=False, **options)


def fitted(data, **options):
    model = conditional()
    trainer(model, **options).fit(data, steps=5)
    return [np.asarray(a) for a in nnx.to_pure_dict(nnx.state(model, nnx.Param))["decoder"]
            ["decoder"]["output_layer"].values()]  # fmt: skip


@pytest.fixture(scope="module")
def expected():
    return fitted({"x": X, "y": Y})


class RowsOnly:
    """Shape, dtype, and rows by an array of integers: all that the guide asks of lazy data."""

    def __init__(self, values):
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, rows):
        assert isinstance(rows, np.ndarray)
        return self._values[rows]


def frame(order=None):
    pandas = pytest.importorskip("pandas")
    index = np.random.default_rng(1).permutation(len(X)) if order is None else order
    return pandas.DataFrame(X, columns=list("abcd"), index=index).assign(label=Y)


def in_a_frame():
    return {"x": (f := frame())[list("abcd")], "y": f.label}


def after_a_split_elsewhere():
    f = frame(np.arange(len(X)) * 7 + 100)
    return {"x": f[list("abcd")], "y": f.label.astype("category")}


WAYS = {
    "tuple": lambda path: (X, Y),
    "split": lambda path: Split(X, Y.astype(np.int32)),
    "lists": lambda path: {"x": X.tolist(), "y": Y.tolist()},
    "float64, uint64": lambda path: {"x": X.astype(np.float64), "y": Y.astype(np.uint64)},
    "big-endian": lambda path: {"x": X.astype(">f4"), "y": Y.astype(">i8")},
    "shuffled frame": lambda path: in_a_frame(),
    "another index": lambda path: after_a_split_elsewhere(),
    "lazy rows": lambda path: {"x": RowsOnly(X), "y": RowsOnly(Y)},
    "lazy float64": lambda path: {"x": RowsOnly(X.astype(np.float64)), "y": Y},
    "our rows": lambda path: {
        "x": Rows(lambda i: X[i], np.arange(40), (4,), X.dtype), "y": Y,
    },
    "memmap": lambda path: {"x": memory_map(path, X), "y": memory_map(path, Y)},
    "memmap of doubles": lambda path: {"x": memory_map(path, X.astype(">f8")), "y": Y},
    "jax": lambda path: {"x": jnp.asarray(X), "y": jnp.asarray(Y)},
    "items": lambda path: Items(X, Y),
    "one-hot rows": lambda path: {"x": X, "y": np.eye(3)[Y]},
}  # fmt: skip


def memory_map(path, values):
    np.save(path / f"{values.dtype.str[1:]}.npy", values)
    return np.load(path / f"{values.dtype.str[1:]}.npy", mmap_mode="r")


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [False, True], ids=["resident", "streamed"])
def test_labels_stay_with_their_examples_whatever_holds_them(way, stream, tmp_path, expected):
    if stream and way in ("one-hot rows", "items", "jax", "lists", "split", "tuple"):
        pytest.skip("the same arrays as another way")
    folder = tmp_path / "run" if way in ("shuffled frame", "another index") else None
    found = fitted(WAYS[way](tmp_path), stream=stream, folder=folder)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_validation_may_be_a_tuple(expected):
    rows = trainer(conditional()).fit((X, Y), (X[:9], Y[:9]), steps=2)
    assert rows[-1]["split"] == "validation"


class Loader:
    """As torch.utils.data.DataLoader is told from other objects."""

    dataset, batch_sampler = [1, 2], ()

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


class Items:
    """As torch.utils.data.Dataset: one example at a time, by its number."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, i):
        if not 0 <= i < len(self):
            raise IndexError(i)
        found = tuple(a[i] for a in self.arrays)
        return found if len(found) > 1 else found[0]


UNKNOWN = r"train has the keys \[.*\]: expected 'x', and perhaps 'y'; no other key is read"
REFUSED = {
    "labels": (lambda: {"x": X, "labels": Y}, UNKNOWN),
    "weights": (lambda: {"x": X, "y": Y, "sample_weight": np.ones(40)}, UNKNOWN),
    "mask": (lambda: {"x": X, "mask": X > 0}, UNKNOWN),
    "upper case": (lambda: {"X": X}, UNKNOWN),
    "numbers as keys": (lambda: {0: X, "x": X}, UNKNOWN),
    "no examples": (lambda: {"y": Y}, UNKNOWN),
    "x is None": (lambda: {"x": None}, r"train\['x'\] is of type NoneType"),
    "a name": (lambda: "digits", r"train='digits'.*load_dataset\('digits'\)"),
    "three": (lambda: (X, Y, Y), "train is a tuple of 3: expected an array, .x, y. or"),
    "a loader": (Loader, r"train is a Loader.*train.dataset.*batch_size="),
    "a generator": (lambda: (row for row in X), r"train is a generator.*numpy.stack\(list\(train"),
    "an iterator": (lambda: iter([X]), r"train is a list_iterator, which can be read only in its"),
    "pairs": (lambda: zip(X, Y, strict=True), "train is a zip, which can be read only in its"),
    "a whole data set": (lambda: from_arrays(X, Y), "train is a whole Dataset"),
    "sparse": (lambda: scipy.sparse.csr_array(X), r"train is a sparse csr_array.*train.toarray"),
    "sparse beside labels": (lambda: {"x": scipy.sparse.csc_matrix(X)}, r"train\['x'\] is a spars"),
    "complex": (lambda: X * 1j, "train is of type complex64"),
    "wrapping": (lambda: np.full((40, 4), 2**32 + 1), r"train holds the integer 4294967297"),
    "wrapping labels": (lambda: (X, Y + 2**32), r"train\['y'\] holds integers from 42949"),
    "ragged": (lambda: [[1.0], [1.0, 2.0]], "train cannot be read .*differ in length"),
    "one axis": (lambda: X[:, 0], r"train has shape \(40,\): expected one row for each example"),
    "floats as labels": (lambda: (X, Y.astype(float)), r"if they are whole.*y.astype\(int\)"),
    "a column of labels": (lambda: (X, Y[:, None]), r"of a column, y\[:, 0\]"),
    "NaN": (lambda: nan_at(17, 2), r"train holds NaN .*1 such values, the first .*\(17, 2\)"),
    "names": (lambda: (X, np.array(["a", "b"])[Y % 2]), r"train\['y'\] is of type <U1.*from_arr"),
    "gaps": (lambda: (X, [None, *Y[1:].tolist()]), r"train\['y'\] has 1 missing values of 40"),
    "NaN in labels": (lambda: (X, np.where(Y > 1, np.nan, Y)), r"train\['y'\] holds NaN"),
    "beyond the classes": (lambda: (X, Y + 1), "train: y holds labels from 1 to 3: expected 0 <="),
    "other lengths": (lambda: (X, Y[1:]), "train has arrays of lengths"),
    "another size": (lambda: X[:, :3], r"train: x has shape \(40, 3\): expected \(batch, 4\)"),
    "rows of rows": (lambda: X.reshape(40, 2, 2), r"give x.reshape\(len\(x\), 4\)"),
    "items of several shapes": (lambda: Items([X[0], X[0, :2]]), "train has items of different"),
    "items that fail": (lambda: Items(X, Y[:5]), r"train\[5\] cannot be read \(IndexError"),
    "no items": (lambda: Items([]), "train holds no examples"),
    "masked rows of a file": (
        lambda: RowsOnly(np.ma.masked_array(X, X > 4)), "train is a masked array with .* masked"
    ),
    "text in a lazy array": (lambda: RowsOnly(X.astype(str)), "train is of type <U"),
}  # fmt: skip


def nan_at(*index):
    x = X.copy()
    x[index] = np.nan
    return x


@pytest.mark.sampled
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_on_as_it_was_meant_is_refused_by_name(case):
    make, message = REFUSED[case]
    model = conditional()
    if case == "a whole data set":
        with pytest.raises(ValueError, match="data is a whole Dataset"):
            trainer(model).evaluate(make())
        return
    with pytest.raises(ValueError, match=message):
        trainer(model).fit(make(), steps=1)
    with pytest.raises(ValueError, match=message.replace("train", "data")):
        trainer(model).evaluate(make())


def test_errors_name_the_split():
    for bad, message in ((nan_at(3, 0), r"validation holds NaN.*\(3, 0\)"),
                         ((X, Y + 9), "validation: y holds labels from 9")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            trainer(conditional()).fit((X, Y), bad, steps=1)


@pytest.mark.parametrize(
    ("shape", "given", "way_out"),
    [
        ((6, 5, 3), (2, 3, 6, 5), r"channels come first: give numpy.moveaxis\(x, 1, -1\)"),
        ((6, 5, 1), (2, 6, 5), r"give x\[..., None\]"),
        ((6, 5, 1), (2, 30), r"give x.reshape\(len\(x\), 6, 5, 1\)"),
        ((30,), (2, 6, 5, 1), r"give x.reshape\(len\(x\), 30\)"),
        ((6, 5, 1), (2, 5, 6, 1), r"one example \(6, 5, 1\)$"),
    ],
)
def test_data_of_another_shape_is_told_how_to_become_the_models(shape, given, way_out):
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=(4,), latent_dim=2, input_shape=shape),
        decoder=DecoderConfig(hidden_dims=(4,), latent_dim=2, output_shape=shape),
    )
    with pytest.raises(ValueError, match=way_out):
        trainer(VAE(config, rngs=nnx.Rngs(0))).fit(np.zeros(given, np.float32), steps=1)


# Bytes.


@pytest.mark.slow
def test_one_rule_for_bytes(caplog):
    """uint8 is k / 255, bool is 0 and 1, and every other type is taken as it is."""
    model = binary()
    bits = RNG.random((40, 4)) < 0.5
    ones = trainer(model).evaluate(bits.astype(np.float32))
    for same in (bits, bits.astype(np.int64), bits.astype(np.float64), bits * np.uint8(255)):
        assert trainer(model).evaluate(same) == pytest.approx(ones, rel=1e-6)
    with caplog.at_level(logging.INFO, "workshop"):
        trainer(model).fit(bits * np.uint8(255), steps=1)
    assert "train: 40 examples of shape (4,), uint8, read as k / 255" in caplog.messages
    few = bits.astype(np.uint8)
    for use in (
        lambda x: trainer(model).fit(x, steps=1),
        trainer(model).evaluate,
        lambda x: trainer(model).fit(RowsOnly(x), steps=1),
        lambda x: trainer(model).fit(Split(x), steps=1),
        from_arrays,
        model.encode,
        model.reconstruct,
        lambda x: model.loss_fn(x=x),
    ):
        with pytest.raises(ValueError, match=r"only the integers 0 and 1.*astype\(bool\)"):
            use(few)


def test_encode_reads_data_as_fit_does():
    model = binary()
    levels = np.arange(20).reshape(5, 4)
    mean, _ = model.encode((levels / 255).astype(np.float32))
    for same in (levels.astype(np.uint8), (levels / 255).astype(">f4"), levels / 255):
        np.testing.assert_allclose(model.encode(same)[0], mean, rtol=1e-6, atol=1e-8)
    numbers, _ = model.encode(levels.astype(np.float32))
    for same in (levels, levels.astype(np.int16), levels.astype(">f8")):
        np.testing.assert_array_equal(model.encode(same)[0], numbers)
    for bad in (np.full((4, 4), 2**32 + 1), np.ones((4, 4)) * 1j, np.full((4, 4), 1e300)):
        for use in (model.encode, model.reconstruct, model, lambda x: model.loss_fn(x=x)):
            with pytest.raises(
                ValueError, match=r"^x (holds the integer|is of type|has 16 values)"
            ):
                use(bad)


def test_images_of_other_integers_are_refused_everywhere():
    config = VAEConfig(
        encoder=EncoderConfig(hidden_dims=(4,), latent_dim=2, input_shape=(3, 2, 1)),
        decoder=DecoderConfig(hidden_dims=(4,), latent_dim=2, output_shape=(3, 2, 1)),
    )
    model = VAE(config, rngs=nnx.Rngs(0))
    images = np.arange(60).reshape(10, 3, 2, 1)
    for use in (trainer(model).fit, trainer(model).evaluate, model.encode, from_arrays):
        with pytest.raises(
            ValueError, match=r"x.astype\(numpy.uint8\) for.*x.astype\(numpy.float32"
        ):
            use(images)


# Rounding.


def test_values_a_rounding_error_outside_the_unit_interval_are_clipped():
    x = np.clip(RNG.random((40, 4)), 0, 1)
    x[0], x[1] = [1.0000000000000002, 1 + 9e-7, -9e-7, 0.5], [1, 0, -1e-300, 1 + 2e-7]
    model = binary()
    inside = np.clip(x, 0, 1).astype(np.float32)
    for given in (x, x.astype(np.float32), x.tolist()):
        assert trainer(model).evaluate(given) == trainer(model).evaluate(inside)
    read = as_arrays("train", x, read=model.read_examples)["x"]
    assert (read.min(), read.max()) == (0, 1)
    assert np.isfinite(float(model.loss_fn(x=x)["loss"]))
    for bad in (1 + 2e-6, -2e-6, 1.01):
        x[3, 3] = bad
        with pytest.raises(ValueError, match=r"x lies in \[.*data in \[0, 1\]; scale the data"):
            trainer(model).fit(x, steps=1)


# Other arguments.


def test_an_optimizer_of_flax_is_told_from_one_of_optax():
    model = conditional()
    with pytest.raises(ValueError, match=r"an nnx.Optimizer.*pass .*optimizer.tx"):
        Trainer(model, nnx.Optimizer(model, ADAM, wrt=nnx.Param))  # type: ignore[arg-type]


def test_a_loss_refuses_unknown_keys_too():
    model = conditional()
    with pytest.raises(
        ValueError, match=r"batch has the keys \['labels', 'x'\]: expected 'x', and"
    ):
        model.loss_fn(batch={"x": X, "labels": Y})
    with pytest.raises(ValueError, match=r"batch has the keys \['mask', 'x'\]"):
        nnx.jit(lambda model, batch: model.loss_fn(batch=batch, rng=None))(
            model, {"x": X, "mask": X}
        )
