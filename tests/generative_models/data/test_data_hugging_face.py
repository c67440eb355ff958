"""Hugging Face data sets, made here in the formats that the hub serves, and read offline."""

import re
import sys

import numpy as np
import pytest
from PIL import Image as PILImage

from workshop.generative_models.data import data_shape, load_dataset

datasets = pytest.importorskip("datasets")

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (30, 6, 5), dtype=np.uint8)
Y = np.arange(30) % 3
NAMES = ("ant", "bee", "cat")


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def raises(message):
    return pytest.raises(ValueError, match=re.escape(message))


def table(images="scan", labels="kind", **more):
    columns = {images: [PILImage.fromarray(x) for x in X], labels: Y, **more}
    features = {images: datasets.Image(), labels: datasets.ClassLabel(names=list(NAMES))}
    for name, values in more.items():
        first = values[0]
        features[name] = (
            datasets.Image()
            if isinstance(first, PILImage.Image)
            else datasets.ClassLabel(names=list(NAMES))
            if name.startswith("class")
            else datasets.Value("int64")
        )
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def pairs(x, y):
    return sorted((image.tobytes(), int(label)) for image, label in zip(x, y, strict=True))


def check(data, names=NAMES):
    """All 30 examples with their own labels."""
    x = np.concatenate([split.x for split in data.splits.values()])
    y = np.concatenate([split.y for split in data.splits.values()])
    assert pairs(x[..., 0], y) == pairs(X, Y)
    assert data.class_names == names


def test_saved_with_splits(tmp_path):
    whole = table(idle=np.arange(30))
    parts = {
        "train": whole.select(range(20)),
        "test": whole.select(range(20, 26)),
        "valid": whole.select(range(26, 30)),
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    data = load_dataset(f"hf:{tmp_path}/saved")
    assert [len(split) for split in data.splits.values()] == [20, 4, 6]
    np.testing.assert_array_equal(data.test.x[..., 0], X[20:26])
    assert data_shape(f"hf:{tmp_path}/saved") == data.shape == (6, 5, 1)
    check(data)


def test_other_spellings_of_splits_and_splits_that_are_left_out(tmp_path):
    whole = table()
    parts = {"Training": range(20), "dev": range(20, 24), "extra": range(24, 30)}
    chosen = datasets.DatasetDict({name: whole.select(rows) for name, rows in parts.items()})
    chosen.save_to_disk(tmp_path / "a")
    data = load_dataset(f"hf:{tmp_path / 'a'}")
    assert len(data.validation) == 4
    assert data.notes == ("left out the split extra",)
    chosen["val"] = chosen["extra"]
    chosen.save_to_disk(tmp_path / "b")
    with raises("expected one named train, and at most one each for validation and test"):
        load_dataset(f"hf:{tmp_path / 'b'}")


def test_the_first_image_may_be_grey_among_coloured_ones(tmp_path):
    pixels = RNG.integers(0, 256, (30, 6, 5, 3), dtype=np.uint8)
    images = [PILImage.fromarray(x if i else x[..., 0]) for i, x in enumerate(pixels)]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": images}, features).save_to_disk(tmp_path / "a")
    name = f"hf:{tmp_path / 'a'}"
    assert data_shape(name) == load_dataset(name).shape == (6, 5, 3)


def test_saved_as_one_table_is_split(tmp_path):
    table().save_to_disk(tmp_path / "saved")
    data = load_dataset(f"hf:{tmp_path}/saved", image_size=(12, 10))
    assert [len(split) for split in data.splits.values()] == [24, 3, 3]
    assert data_shape(f"hf:{tmp_path}/saved", image_size=(12, 10)) == data.shape == (12, 10, 1)
    check(load_dataset(f"hf:{tmp_path}/saved"))


def test_parquet_as_the_hub_serves_it(tmp_path):
    folder = tmp_path / "pq" / "data"
    folder.mkdir(parents=True)
    whole = table()
    whole.select(range(20)).to_parquet(folder / "train-00000-of-00001.parquet")
    whole.select(range(20, 30)).to_parquet(folder / "test-00000-of-00001.parquet")
    data = load_dataset(f"hf:{tmp_path}/pq")
    assert [len(split) for split in data.splits.values()] == [18, 2, 10]
    check(data)


def test_folder_of_images(tmp_path):
    for i, (image, label) in enumerate(zip(X, Y, strict=True)):
        folder = tmp_path / "imf" / "train" / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(image).save(folder / f"{i}.png")
    check(load_dataset(f"hf:{tmp_path}/imf"))


@pytest.mark.parametrize("kind", ["Array2D", "lists", "vectors"])
def test_columns_of_arrays(tmp_path, kind):
    values = X.reshape(30, -1) if kind == "vectors" else X
    features = {
        "Array2D": datasets.Array2D((6, 5), "uint8"),
        "lists": datasets.Sequence(datasets.Sequence(datasets.Value("uint8"))),
        "vectors": datasets.Sequence(datasets.Value("uint8")),
    }
    columns = {"a": values.tolist(), "word": [NAMES[label] for label in Y]}
    types = datasets.Features({"a": features[kind], "word": datasets.Value("string")})
    datasets.Dataset.from_dict(columns, features=types).save_to_disk(tmp_path / "a")
    data = load_dataset(f"hf:{tmp_path}/a?label=word")
    assert data.shape == ((30,) if kind == "vectors" else (6, 5, 1))
    if kind != "vectors":
        check(data)
    assert load_dataset(f"hf:{tmp_path}/a").num_classes is None


def test_types_that_leave_a_choice_ask_for_it(tmp_path):
    images = [PILImage.fromarray(255 - x) for x in X]
    table(mask=images, class2=(Y + 1) % 3).save_to_disk(tmp_path / "a")
    where = f"hf:{tmp_path}/a"
    with raises("scan and mask could each be the image column; columns: scan (Image), kind (Class"):
        load_dataset(where)
    with raises("kind and class2 could each be the label column"):
        load_dataset(f"{where}?image=scan")
    check(load_dataset(f"{where}?image=scan&label=kind"))
    assert load_dataset(f"{where}?image=mask&label=").num_classes is None
    np.testing.assert_array_equal(
        np.sort(
            np.concatenate(
                [s.y for s in load_dataset(f"{where}?image=scan&label=class2").splits.values()]
            )
        ),
        np.sort(Y),
    )
    with raises("no column 'img' for image; columns: scan (Image)"):
        load_dataset(f"{where}?image=img")
    with raises("expected hf:NAME_OR_PATH?image=COLUMN&label=COLUMN&config=NAME"):
        load_dataset(f"{where}?split=train")
    with raises("expected hf:NAME_OR_PATH"):
        load_dataset("hf:")


def test_tables_without_examples_are_refused(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"] * 5}).save_to_disk(tmp_path / "a")
    with raises("no column is an image or array, the image column; columns: text (Value)"):
        load_dataset(f"hf:{tmp_path}/a")
    datasets.DatasetDict({"test": table()}).save_to_disk(tmp_path / "b")
    with raises("has the splits test; expected one named train"):
        load_dataset(f"hf:{tmp_path}/b")
    with raises("cannot be loaded"):
        load_dataset(f"hf:{tmp_path}/nowhere")


def test_rows_of_different_length_are_refused(tmp_path):
    datasets.Dataset.from_dict({"a": [[1.0], [1.0, 2.0], [3.0]]}).save_to_disk(tmp_path / "a")
    with raises("expected numbers in one rectangular array"):
        load_dataset(f"hf:{tmp_path}/a")


def test_missing_labels_and_images_are_counted(tmp_path):
    labels = np.where(np.arange(30) < 28, Y, -1)
    columns = {"scan": [PILImage.fromarray(x) for x in X], "kind": labels}
    types = datasets.Features(
        {"scan": datasets.Image(), "kind": datasets.ClassLabel(names=list(NAMES))}
    )
    datasets.Dataset.from_dict(columns, features=types).save_to_disk(tmp_path / "a")
    with raises("2 of 30 rows have no label; expected all of them, or ?label= for no labels"):
        load_dataset(f"hf:{tmp_path}/a")
    assert load_dataset(f"hf:{tmp_path}/a?label=").num_classes is None
    columns["scan"][7] = None
    columns["kind"] = Y
    datasets.Dataset.from_dict(columns, features=types).save_to_disk(tmp_path / "b")
    with raises("image 7 is missing"):
        load_dataset(f"hf:{tmp_path}/b")


def test_broken_images_are_named(tmp_path):
    good = (tmp_path / "good.png").with_suffix(".png")
    PILImage.fromarray(X[0]).save(good)
    data = [{"bytes": good.read_bytes(), "path": None}] * 4 + [{"bytes": b"text", "path": None}]
    types = datasets.Features({"scan": datasets.Image()})
    datasets.Dataset.from_dict({"scan": data}, features=types).save_to_disk(tmp_path / "a")
    with raises("image 4 cannot be read"):
        load_dataset(f"hf:{tmp_path}/a")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'workshop-vae\[hf\]'"):
        load_dataset("hf:ylecun/mnist")
