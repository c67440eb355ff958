"""What is too large for memory stays on disk, and is the same data all the same."""

import numpy as np
import pytest
from PIL import Image

from workshop.generative_models.data import load_dataset, rows
from workshop.generative_models.data.rows import Rows
from workshop.generative_models.training import Trainer

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 5, 6, 3), np.uint8)


def write_npy(folder):
    np.save(folder / "x.npy", PIXELS)
    return folder / "x.npy"


def write_halves(folder):
    np.save(folder / "x.npy", (PIXELS[..., 0] / 255).astype(np.float16))
    return folder / "x.npy"


def write_images(folder):
    for i, pixels in enumerate(PIXELS):
        place = folder / "images" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        # One grey image among coloured ones becomes coloured.
        Image.fromarray(pixels[..., 0] if i == 7 else pixels).save(place / f"{i:02}.png")
    return folder / "images"


def write_hub(folder):
    datasets = pytest.importorskip("datasets")
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    made = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(x) for x in PIXELS], "label": [i % 2 for i in range(40)]},
        datasets.Features(features),
    )
    made.save_to_disk(str(folder / "hub"))
    return f"hf:{folder / 'hub'}"


@pytest.fixture
def small_memory(monkeypatch):
    """A machine with so little memory that everything stays on disk."""
    return lambda: monkeypatch.setattr(rows, "host_memory", lambda: 8)


@pytest.mark.parametrize("write", [write_npy, write_halves, write_images, write_hub])
@pytest.mark.parametrize("options", [{}, {"binarize": True, "limit": 9, "image_size": (4, 3)}])
def test_it_is_the_same_data(tmp_path, small_memory, write, options):
    path = write(tmp_path)
    expected = load_dataset(path, **options)
    small_memory()
    found = load_dataset(path, **options)
    for key, split in found.splits.items():
        assert isinstance(split.x, Rows)
        other = expected.splits[key]
        assert (split.shape, split.x.dtype, split.names) == (
            other.shape,
            other.x.dtype,
            other.names,
        )
        np.testing.assert_array_equal(np.asarray(split.x), other.x)
        np.testing.assert_array_equal(split.x[[2, 0]], other.x[[2, 0]])
        np.testing.assert_array_equal(split.x[1], other.x[1])
        for nothing in (np.array([], int), slice(0, 0), np.zeros(len(split), bool)):
            assert split.x[nothing].shape == (0, *split.shape)
            assert split.x[nothing].dtype == other.x.dtype
        assert (split.y is None) == (other.y is None)
        if other.y is not None:
            np.testing.assert_array_equal(split.y, other.y)


def test_only_what_is_asked_for_is_read():
    asked = []

    def read(indices):
        asked.append(indices.tolist())
        return np.zeros((len(indices), 3), np.float32)

    x = Rows(read, np.arange(100), (3,), np.dtype(np.float32))
    doubled = x.take(slice(10, 20)).take([3, 1]).map(lambda some: np.repeat(some, 2, 1))
    assert (doubled.shape, len(doubled), asked) == ((2, 6), 2, [])
    assert doubled[:].shape == (2, 6)
    assert asked == [[13, 11]]


@pytest.mark.slow
def test_a_run_over_files_is_the_run_in_memory(tmp_path, small_memory, make_vae):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 6), np.float32))

    def run(**options):
        data = load_dataset(tmp_path / "x.npy")
        trainer = Trainer(make_vae(), batch_size=8, progress=False, **options)
        return trainer.fit(data.train, data.validation, steps=12), trainer.evaluate(data.test)

    expected = run()
    small_memory()
    assert run() == expected


def test_what_is_wrong_is_said_when_it_is_read(tmp_path, small_memory):
    x = np.random.default_rng(0).random((40, 4), np.float32)
    x[17, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    write_images(tmp_path)
    for name in ("36.png", "38.png"):
        path = tmp_path / "images" / "a" / name
        path.write_bytes(path.read_bytes()[:100])
    small_memory()
    arrays, pictures = load_dataset(tmp_path / "x.npy"), load_dataset(tmp_path / "images")
    broken = r"example \d+: .*3[68].png: cannot be read"
    for data, said in ((arrays, "example 17: .*NaN"), (pictures, f"(?s){broken}")):
        with pytest.raises(ValueError, match=said):
            [np.asarray(split.x) for split in data.splits.values()]
    # Headers are looked at before.
    Image.new("RGB", (9, 9)).save(path)
    with pytest.raises(ValueError, match=r"39 of 5×6.* 1 of 9×9.*resizes all"):
        load_dataset(tmp_path / "images")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="1 of 40 files cannot be used"):
        load_dataset(tmp_path / "images")
    data = load_dataset(tmp_path / "images", skip_unusable=True)
    assert sum(map(len, data.splits.values())) == 38
    assert data.notes == ("left out 2 that cannot be used (a/36.png, a/38.png)",)
    assert isinstance(data.train.x, Rows)
    assert np.asarray(data.train.x).shape == (30, 5, 6, 3)
