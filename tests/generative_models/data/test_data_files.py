"""Arrays, .npy and .npz files: what they become, and what is refused with which way out."""

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workshop.generative_models.data import Split, data_shape, from_arrays, load_dataset
from workshop.generative_models.data.arrays import (
    stratified_permutation,
    warn_of_missing_classes,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 4, 3, 2), dtype=np.uint8)


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def joined(dataset, field="x"):
    return np.concatenate([getattr(split, field) for split in dataset.splits.values()])


def rows(x):
    return sorted(image.tobytes() for image in x)


def raises(message):
    return pytest.raises(ValueError, match=re.escape(message))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((20, 5), (5,)), ((20, 4, 3), (4, 3, 1)), ((20, 4, 3, 2), (4, 3, 2)), ((20, 1, 1), (1, 1, 1))],
)
def test_npy_of_any_rank(tmp_path, shape, expected):
    x = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    data = load_dataset(tmp_path / "x.npy")
    assert data_shape(tmp_path / "x.npy") == data.shape == expected
    assert rows(joined(data)) == rows(x)
    assert [len(split) for split in data.splits.values()] == [16, 2, 2]
    assert data.num_classes is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (IMAGES, IMAGES),
        (IMAGES > 127, (IMAGES > 127) * np.uint8(255)),
        (IMAGES[:, 0, 0].astype(np.int64), IMAGES[:, 0, 0].astype(np.float32)),
        (IMAGES[:, 0, 0].astype(np.uint16) + 300, IMAGES[:, 0, 0].astype(np.float32) + 300),
        (-IMAGES[:, 0, 0].astype(np.int8), -IMAGES[:, 0, 0].astype(np.int8).astype(np.float32)),
        ((IMAGES > 127).astype(np.int64), (IMAGES > 127).astype(np.float32)),
        (IMAGES / 255, (IMAGES / 255).astype(np.float32)),
        (IMAGES.astype(">f4") - 3, IMAGES.astype(np.float32) - 3),
        (IMAGES.astype(np.float16), IMAGES.astype(np.float32)),
    ],
    ids=lambda x: str(x.dtype),
)
def test_dtypes_become_uint8_or_float32(given, expected):
    data = from_arrays(given)
    assert joined(data).dtype == expected.dtype
    assert rows(joined(data)) == rows(expected)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 4, 4)), "x has shape (0, 4, 4): it is empty"),
        (np.zeros((9, 0, 4)), "x has shape (9, 0, 4): it is empty"),
        (np.zeros(9), "x has shape (9,); expected (n, d), (n, h, w) or (n, h, w, c)"),
        (np.zeros((9, 2, 2, 2, 2)), "expected (n, d), (n, h, w) or (n, h, w, c)"),
        (np.zeros((2, 4)), "got 2 example(s); expected at least 3"),
        (np.array([[1], "a"], object), "x is of type object: expected numbers"),
        (np.array([["a"]] * 9), "x is of type <U1: expected numbers"),
        (np.zeros((9, 2), complex), "x is of type complex128: expected numbers"),
        (np.full((9, 2, 2), 255), "give x.astype(numpy.uint8) for pixels from 0 to 255, or x.as"),
        (np.full((9, 2, 2), 4095), "int64 from 4095 to 4095: expected pixels as uint8 or floats"),
        (np.full((9, 2), 2**24 + 1), "holds the integer 16777217 at (0, 0), which float32 rounds"),
        (np.eye(9, dtype=np.uint8), "only the integers 0 and 1"),
    ],
)
def test_examples_that_cannot_be_used_are_refused(x, message):
    with raises(message):
        from_arrays(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_numbers_that_are_not_finite_are_counted_and_placed(bad):
    x = np.zeros((9, 2, 2))
    x[4, 1, 0] = x[7, 0, 0] = bad
    with raises(
        "x has 2 values beyond float32 (3.4e38), the first at index (4, 1, 0)"
        if bad == 1e39
        else "x holds NaN or infinite values: clean or drop those examples (2 such values, the "
        "first at index (4, 1, 0); x[numpy.isfinite(x).reshape(len(x), -1).all(1)]"
    ):
        from_arrays(x)
    # The way out that the message gives.
    fixed = x[np.isfinite(x.astype(np.longdouble)).reshape(len(x), -1).all(1)]
    if not abs(bad) < np.inf:
        assert len(joined(from_arrays(fixed))) == 7


def test_channels_first_is_pointed_out():
    with pytest.warns(UserWarning, match=r"read as images of height 3 with 32 channels.*moveaxis"):
        from_arrays(np.zeros((9, 3, 32, 32), np.float32))


@given(
    n=st.integers(3, 200),
    classes=st.integers(1, 12),
    seed=st.integers(0, 2**31),
)
def test_any_number_of_examples_is_split_without_loss(n, classes, seed):
    x = np.arange(n, dtype=np.float32)[:, None]
    y = np.random.default_rng(seed).integers(0, classes, n)
    data = from_arrays(x, y, seed=seed)
    tenth = max(1, round(n / 10))
    assert [len(split) for split in data.splits.values()] == [n - 2 * tenth, tenth, tenth]
    assert sorted(joined(data)[:, 0].tolist()) == list(range(n))
    for split in data.splits.values():
        np.testing.assert_array_equal(split.y, y[split.x[:, 0].astype(int)])


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
    cut=st.floats(0, 1),
)
def test_stratified_order_spreads_every_class(sizes, seed, cut):
    y = np.repeat(np.arange(len(sizes)), sizes)
    order = stratified_permutation(y, len(y), seed)
    assert sorted(order.tolist()) == list(range(len(y)))
    # Sorted by place, the first k have a place below some p, and a class of m has floor(m p) or
    # one more below p: so that counts in a prefix differ from m p by at most 1 for one common p.
    counts = np.bincount(y[order[: round(cut * len(y))]], minlength=len(sizes))
    low = ((counts - 1) / np.array(sizes)).max()
    high = ((counts + 1) / np.array(sizes)).min()
    assert low <= high


def test_single_members_reach_every_split():
    # A class of one example lies in every quarter of the order equally often.
    y = np.array([0] * 19 + [1])
    place = [int(np.flatnonzero(stratified_permutation(y, 20, s) == 19)[0]) for s in range(400)]
    counts = np.histogram(place, bins=4, range=(0, 20))[0]
    # Binomial(400, 1/4): mean 100, standard deviation 8.7; five of them.
    assert np.abs(counts - 100).max() < 44


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
)
def test_every_class_has_a_training_example(sizes, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    assume(len(y) >= 3)
    x = np.arange(len(y), dtype=np.float32)[:, None]
    data = from_arrays(x, y, seed=seed)
    assert sorted(joined(data)[:, 0].tolist()) == x[:, 0].tolist()
    for split in data.splits.values():
        np.testing.assert_array_equal(split.y, y[split.x[:, 0].astype(int)])
    if len(data.train) >= len(sizes):
        assert set(data.train.y.tolist()) == set(range(len(sizes)))
    else:  # not enough places: each is taken by another class
        assert len(set(data.train.y.tolist())) == len(data.train)


def test_a_rare_class_changes_no_split_that_has_it_in_training():
    y = np.array([0] * 60 + [1] * 39 + [2])
    changed = 0
    for seed in range(60):
        data = from_arrays(np.arange(100.0)[:, None], y, seed=seed)
        order = stratified_permutation(y, 100, seed)
        assert 2 in data.train.y
        before, after = set(order[:80].tolist()), set(data.train.x[:, 0].astype(int).tolist())
        lacking = 2 not in y[order[:80]]
        assert len(after - before) == lacking
        changed += lacking
    # Binomial(60, 1/5): mean 12, standard deviation 3.1; three of them.
    assert 3 <= changed <= 21


def test_classes_without_a_training_example_are_named(tmp_path, caplog):
    own = save(
        tmp_path / "a.npz",
        x_train=IMAGES[:8],
        y_train=np.array(["a", "b"] * 4),
        x_test=IMAGES[8:],
        y_test=np.array(["c", "a", "d"] * 4),
    )
    load_dataset(own)
    assert caplog.messages == [
        f"load_dataset({str(own)!r}): 2 classes have no training example: c, d"
    ]
    caplog.clear()
    many = save(tmp_path / "b.npz", x=IMAGES, y=np.arange(20))
    load_dataset(many, limit=3)
    assert re.search(r"limit=3: 4 classes have no training example: ", caplog.text)
    caplog.clear()
    from_arrays(IMAGES, np.arange(20) % 4)
    assert not caplog.messages


def test_npz_with_labels(tmp_path):
    y = np.arange(20) % 4
    path = save(tmp_path / "a.npz", x=IMAGES, y=y)
    data = load_dataset(path)
    assert data.name == str(path)
    assert data.num_classes == 4
    assert data_shape(path) == (4, 3, 2)
    table = {image.tobytes(): label for image, label in zip(IMAGES, y, strict=True)}
    got = zip(joined(data), joined(data, "y"), strict=True)
    assert all(table[image.tobytes()] == label for image, label in got)


def test_npz_with_its_own_splits(tmp_path):
    y = np.arange(20) % 4
    path = save(
        tmp_path / "a.npz",
        x_train=IMAGES[:14],
        y_train=y[:14],
        x_validation=IMAGES[14:17],
        y_validation=y[14:17],
        x_test=IMAGES[17:],
        y_test=y[17:],
    )
    data = load_dataset(path, seed=1)
    assert rows(data.train.x) == rows(IMAGES[:14])
    assert not np.array_equal(data.train.x, IMAGES[:14])  # shuffled
    np.testing.assert_array_equal(data.validation.x, IMAGES[14:17])
    np.testing.assert_array_equal(data.test.y, y[17:])
    assert data_shape(path) == data.shape


def test_npz_without_validation_takes_a_tenth_of_train(tmp_path):
    data = load_dataset(save(tmp_path / "a.npz", x_train=IMAGES[:15], x_test=IMAGES[15:]))
    assert [len(split) for split in data.splits.values()] == [13, 2, 5]
    np.testing.assert_array_equal(data.test.x, IMAGES[15:])
    assert rows(np.concatenate([data.train.x, data.validation.x])) == rows(IMAGES[:15])


@pytest.mark.parametrize("kind", [str, bytes])
def test_strings_become_classes_in_sorted_order(tmp_path, kind):
    words = np.array(["cat", "ant", "bee", "cat"] * 5)
    labels = words if kind is str else words.astype(bytes)
    data = load_dataset(save(tmp_path / "a.npz", x=IMAGES, y=labels))
    assert data.class_names == ("ant", "bee", "cat")
    table = {image.tobytes(): word for image, word in zip(IMAGES, words, strict=True)}
    for image, label in zip(joined(data), joined(data, "y"), strict=True):
        assert data.class_names[label] == table[image.tobytes()]


def test_strings_of_several_splits_share_their_classes(tmp_path):
    path = save(
        tmp_path / "a.npz",
        x_train=IMAGES[:10],
        y_train=np.array(["b"] * 10),
        x_test=IMAGES[10:],
        y_test=np.array(["a", "b"] * 5),
    )
    data = load_dataset(path)
    assert data.class_names == ("a", "b")
    assert set(data.train.y.tolist()) == {1}
    assert data.test.y.tolist() == [0, 1] * 5


def series(words, **options):
    pandas = pytest.importorskip("pandas")
    return pandas.Series(words, index=RNG.permutation(len(words)), **options)


@pytest.mark.parametrize(
    "hold",
    [
        list,
        lambda words: words.astype(object),
        lambda words: words.astype(np.dtypes.StringDType()),
        series,
        lambda words: series(words, dtype="category"),
        lambda words: series(words, dtype=object),
    ],
    ids=["list", "objects", "StringDType", "series", "category", "series of objects"],
)
def test_names_are_numbered_by_position_whatever_holds_them(hold):
    """What the error of `fit` suggests: `from_arrays`, or `numpy.unique` for one array."""
    words = np.array(["cat", "ant", "bee", "cat"] * 5)
    data = from_arrays(np.arange(20.0)[:, None], hold(words))
    assert data.class_names == ("ant", "bee", "cat")
    numbered = np.unique(hold(words), return_inverse=True)[1]
    for split in data.splits.values():
        rows = split.x[:, 0].astype(int)
        assert [data.class_names[i] for i in split.y] == words[rows].tolist()
        np.testing.assert_array_equal(split.y, numbered[rows])


def test_a_seed_that_no_generator_takes():
    with raises("from_arrays: seed=-1; expected seed >= 0"):
        from_arrays(IMAGES, seed=-1)


def test_boolean_labels_are_two_classes():
    assert from_arrays(IMAGES, np.arange(20) > 5).num_classes == 2


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(19), "y has 19 labels for 20 examples"),
        (np.arange(20.0), "expected integers or strings: numpy.unique(y, return_inverse=True)[1]"),
        (np.eye(20, dtype=int), "for one-hot labels y.argmax(-1)"),
        (np.arange(20)[:, None], "for a column y[:, 0]"),
        (np.arange(20) - 1, "y spans -1..18; expected 0..num_classes-1"),
        (np.arange(20) + 2000, "y = numpy.unique(y, return_inverse=True)[1]"),
        (np.array([None] * 20), "y has 20 missing values of 20"),
        ([None] * 20, "y has 20 missing values of 20, the first at position 0"),
        (["a"] * 19 + [float("nan")], "y has 1 missing values of 20, the first at position 19"),
        (["a"] * 19 + [1], "y holds Python objects (int, str)"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(y, message):
    with raises(message):
        from_arrays(IMAGES, y)


def test_files_that_do_not_fit_are_refused(tmp_path):
    cases = [
        (
            {"images": IMAGES, "labels": np.arange(20)},
            "holds the arrays images, labels; expected x",
        ),
        ({"x": IMAGES, "labels": np.arange(20)}, "holds the arrays labels, x"),
        ({"x_test": IMAGES}, "holds the arrays x_test"),
        ({"x_train": IMAGES, "y_test": np.arange(20)}, "holds the arrays x_train, y_test"),
        ({"x_train": IMAGES, "x_test": IMAGES[:, :2]}, "the splits differ in (shape, dtype)"),
        ({"x_train": IMAGES, "x_test": IMAGES[:0]}, "x_test has shape (0, 4, 3, 2): it is empty"),
        (
            {"x_train": IMAGES, "x_test": IMAGES, "y_train": np.arange(20)},
            "no labels for test; expected all splits or none",
        ),
        ({}, "holds the arrays (none)"),
    ]
    for arrays, message in cases:
        with raises(message):
            load_dataset(save(tmp_path / "a.npz", **arrays))


class Bomb:
    """Would leave a trace if it were unpickled."""

    def __reduce__(self):
        return print, ("unpickled",)


def test_pickles_are_never_loaded(tmp_path, capsys):
    array = np.array([Bomb()] * 5, object)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=array)
    for name in ("a.npy", "a.npz"):
        with raises("pickled objects are refused"):
            load_dataset(tmp_path / name)
    with raises("pickled objects are refused"):
        data_shape(tmp_path / "a.npy")
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", [".npy", ".npz", "compressed"])
def test_damaged_files_load_or_are_refused(tmp_path, suffix):
    path = tmp_path / ("a.npy" if suffix == ".npy" else "a.npz")
    if suffix == ".npy":
        np.save(path, IMAGES)
    else:
        (np.savez if suffix == ".npz" else np.savez_compressed)(path, x=IMAGES, y=np.arange(20))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(whole)
        # The headers are at the beginning of the file and, of a zip, at the end.
        near = int(rng.integers(200)) * int(rng.choice([1, -1]))
        content[near] = int(rng.integers(256))
        path.write_bytes(content)
        for function in (load_dataset, data_shape):
            try:
                function(path)
            except ValueError as error:
                assert f"{function.__name__}(" in str(error)  # noqa: PT017


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_broken_files_are_named(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    np.save(whole, IMAGES) if suffix == ".npy" else np.savez(whole, x=IMAGES)
    content = whole.read_bytes()
    for i, piece in enumerate((b"", b"nonsense", content[: len(content) // 2])):
        path = tmp_path / f"broken{i}{suffix}"
        path.write_bytes(piece)
        for function in (load_dataset, data_shape):
            with raises(f"{path} cannot be read"):
                function(path)


def test_endings_are_checked(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        np.savez(file, x=IMAGES)
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, IMAGES)
    with raises("is a .npz file; expected that ending"):
        load_dataset(tmp_path / "a.npy")
    with raises("is a .npy file; expected that ending"):
        load_dataset(tmp_path / "a.npz")


def test_options_that_need_images_or_a_scale_say_so(tmp_path):
    np.save(tmp_path / "a.npy", RNG.normal(size=(20, 5)))
    with raises("image_size=(8, 8) but the examples have shape (5,); expected images"):
        load_dataset(tmp_path / "a.npy", image_size=(8, 8))
    with raises("binarize=True but x spans"):
        load_dataset(tmp_path / "a.npy", binarize=True)


@pytest.mark.parametrize("suffix", [".npy", ".NPY", ".npz", ".NPZ"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(9), "has shape (9,); expected (n, d)"),
        (np.float64(1), "has shape (); expected (n, d)"),
        (np.zeros((9, 2, 2, 2, 2)), "has shape (9, 2, 2, 2, 2); expected"),
        (np.zeros((9, 0)), "has shape (9, 0): it is empty"),
        (np.zeros((0, 4, 4)), "has shape (0, 4, 4): it is empty"),
        (
            np.zeros((9, 2), [("a", "f4"), ("b", "i4")]),
            "is of type [('a', '<f4'), ('b', '<i4')]",
        ),
    ],
)
def test_a_header_that_no_data_can_have_is_refused_before_the_data_is_read(
    tmp_path, x, message, suffix
):
    with open(tmp_path / f"a{suffix}", "wb") as file:
        np.save(file, x) if suffix.lower() == ".npy" else np.savez(file, x_train=x)
    key = "x" if suffix.lower() == ".npy" else "x_train"
    with raises(f"data_shape('{tmp_path / 'a'}{suffix}'): {key} {message}"):
        data_shape(tmp_path / f"a{suffix}")
    with raises(f"load_dataset('{tmp_path / 'a'}{suffix}'): x"):
        load_dataset(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("ending", ["val", "valid", "dev", "validation"])
def test_other_names_of_the_validation_part(tmp_path, ending):
    arrays = {f"x_{ending}": IMAGES[:3], f"y_{ending}": np.arange(3)}
    path = save(tmp_path / "a.npz", x_training=IMAGES, y_training=np.arange(20), **arrays)
    data = load_dataset(path)
    np.testing.assert_array_equal(data.validation.x, IMAGES[:3])
    assert data_shape(path) == IMAGES.shape[1:]
    for extra in (
        {"x_test": IMAGES, "y_val2": IMAGES},
        {"x_train": IMAGES},
        {"y_test": np.ones(3)},
    ):
        with raises("expected x and perhaps y"):
            load_dataset(save(tmp_path / "b.npz", x_training=IMAGES, **arrays, **extra))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [">f8", "<f4", ">i2", "f2", "longdouble"])
def test_arrays_are_read_whatever_their_layout(tmp_path, order, kind):
    x = np.asarray(RNG.integers(0, 100, (20, 5)).astype(kind), order=order)
    np.save(tmp_path / "a.npy", x)
    found = load_dataset(tmp_path / "a.npy").train.x
    assert set(rows(found.astype(np.float64))) <= set(rows(x.astype(np.float64)))


def test_labels_of_other_splits_alone_are_no_missing_classes(caplog):
    x = np.zeros((2, 3), np.float32)
    splits = {"train": Split(x), "test": Split(x, np.arange(2, dtype=np.int32))}
    warn_of_missing_classes(splits, None, "here")
    assert not caplog.text
