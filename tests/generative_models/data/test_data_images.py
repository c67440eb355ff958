"""Folders of images: structure, pixels, and files that are not what they seem."""

import re

import numpy as np
import pytest
from PIL import Image

from workshop.generative_models.data import data_shape, load_dataset

RNG = np.random.default_rng(0)


def grey(n, size=(5, 4)):
    return RNG.integers(0, 256, (n, *size), dtype=np.uint8)


def write(folder, images, start=0, ending="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images, start):
        Image.fromarray(image).save(folder / f"{i:03}.{ending}")


def raises(message):
    return pytest.raises(ValueError, match=re.escape(message))


def by_name(dataset):
    return {
        name: (x, None if split.y is None else split.y[i])
        for split in dataset.splits.values()
        for i, (name, x) in enumerate(zip(split.names, split.x, strict=True))
    }


def test_a_flat_folder(tmp_path):
    images = grey(12)
    write(tmp_path, images)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    (tmp_path / ".thumbnails").mkdir()
    write(tmp_path / ".thumbnails", grey(1, (2, 2)))
    data = load_dataset(tmp_path)
    assert data_shape(tmp_path) == data.shape == (5, 4, 1)
    assert [len(split) for split in data.splits.values()] == [10, 1, 1]
    assert data.num_classes is None
    found = by_name(data)
    assert sorted(found) == [f"{i:03}.png" for i in range(12)]
    for i, image in enumerate(images):
        np.testing.assert_array_equal(found[f"{i:03}.png"][0][..., 0], image)


def test_class_folders_are_labels_in_sorted_order(tmp_path):
    write(tmp_path / "zebra", grey(6))
    write(tmp_path / "ant", grey(6))
    write(tmp_path / "mouse" / "deep" / "er", grey(6))
    data = load_dataset(tmp_path)
    assert data.class_names == ("ant", "mouse", "zebra")
    for name, (_, label) in by_name(data).items():
        assert data.class_names[label] == name.split("/")[0]


@pytest.mark.parametrize("validation", ["validation", "valid", "val"])
def test_split_folders_are_respected(tmp_path, validation):
    write(tmp_path / "train" / "b", grey(7))
    write(tmp_path / "train" / "a", grey(7))
    write(tmp_path / validation / "b", grey(2))
    write(tmp_path / "test" / "a", grey(3))
    data = load_dataset(tmp_path)
    assert [len(split) for split in data.splits.values()] == [14, 2, 3]
    assert data.class_names == ("a", "b")
    assert data.validation.y.tolist() == [1, 1]
    assert data.test.names == ("test/a/000.png", "test/a/001.png", "test/a/002.png")
    assert all(name.startswith("train/") for name in data.train.names)


def test_train_without_the_rest_is_split(tmp_path):
    write(tmp_path / "train", grey(10))
    write(tmp_path / "test", grey(4))
    data = load_dataset(tmp_path)
    assert [len(split) for split in data.splits.values()] == [9, 1, 4]
    assert data.class_names is None


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ((".", "a"), "000.png lies beside class folders"),
        (("test", "validation"), "expected train/ with validation/ and test/"),
        (("train", "plane"), "a class named train goes inside train/"),
        (("train", "val", "valid"), "expected one validation/"),
        (("train/a", "test"), "some splits have class folders; expected all or none"),
        ((), "no images in"),
    ],
)
def test_unclear_structures_are_refused(tmp_path, folders, message):
    for folder in folders:
        write(tmp_path / folder, grey(3))
    with raises(message):
        load_dataset(tmp_path)


@pytest.mark.parametrize("ending", ["png", "bmp", "webp", "tiff", "ppm", "gif"])
def test_formats_that_lose_nothing_give_the_pixels_back(tmp_path, ending):
    # GIF has a palette of 256 colours: one image of few colours stays exact.
    colours = RNG.integers(0, 256, (9, 3), dtype=np.uint8)
    images = [colours[RNG.integers(0, 9, (6, 7))] for _ in range(4)]
    tmp_path.joinpath("x").mkdir()
    for i, image in enumerate(images):
        options = {"lossless": True} if ending == "webp" else {}
        Image.fromarray(image).save(tmp_path / "x" / f"{i}.{ending}", **options)
    found = by_name(load_dataset(tmp_path / "x"))
    for i, image in enumerate(images):
        np.testing.assert_array_equal(found[f"{i}.{ending}"][0], image)


def test_jpeg_is_close_and_turned_upright(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (16, 1))  # 16 high, 32 wide
    turned = Image.Exif()
    turned[0x0112] = 6  # the top of the scene is at the right of the file
    for i in range(3):
        Image.fromarray(ramp).save(tmp_path / f"{i}.jpg", quality=95, exif=turned)
    data = load_dataset(tmp_path)
    assert data.shape == (32, 16, 1)
    # Rotating clockwise brings the left column of the file to the top; JPEG is off by a few levels.
    expected = np.rot90(ramp, -1).astype(int)
    assert np.abs(data.train.x[0, ..., 0] - expected).max() < 6


def test_modes(tmp_path):
    image = grey(1, (5, 4))[0]
    cases = {
        "bits": (Image.fromarray(image > 127), (image > 127) * 255),
        "grey palette": (Image.fromarray(image).convert("P"), image),
        "opaque grey": (Image.fromarray(image).convert("LA"), image),
        "opaque colour": (
            Image.fromarray(np.stack([image, image, image], -1)).convert("RGBA"),
            np.stack([image] * 3, -1),
        ),
    }
    for name, (picture, expected) in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        for i in range(3):
            picture.save(folder / f"{i}.png")
        x = load_dataset(folder).train.x[0]
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(x, expected.reshape(x.shape))
        assert x.shape[-1] == (3 if name == "opaque colour" else 1)


def test_sixteen_bits_become_float(tmp_path):
    deep = RNG.integers(0, 65536, (3, 5, 4), dtype=np.uint16)
    write(tmp_path, deep)
    found = by_name(load_dataset(tmp_path))
    for i in range(3):
        x = found[f"{i:03}.png"][0]
        assert x.dtype == np.float32
        np.testing.assert_allclose(x[..., 0], deep[i] / 65535, rtol=1e-6)


def test_grey_among_colour_becomes_colour(tmp_path):
    colour, plain = RNG.integers(0, 256, (4, 5, 4, 3), dtype=np.uint8), grey(2)
    write(tmp_path, colour)
    write(tmp_path, plain, start=4)
    data = load_dataset(tmp_path)
    assert data.shape == (5, 4, 3)
    np.testing.assert_array_equal(by_name(data)["004.png"][0], np.stack([plain[0]] * 3, -1))


def test_sizes_must_agree_unless_resized(tmp_path):
    write(tmp_path, grey(3, (5, 4)))
    write(tmp_path, np.full((2, 9, 9), 77, np.uint8), start=3)
    (tmp_path / "broken.png").write_bytes(b"")
    said = (
        f"images of 2 sizes (height × width): 3 of 5×4, such as {tmp_path / '000.png'}; 2 of 9×9, "
        f"such as {tmp_path / '003.png'}; expected one size: image_size=(5, 4), or "
        "--image-size 5 4, resizes all"
    )
    for function in (load_dataset, data_shape):
        with raises(said):
            function(tmp_path)
    (tmp_path / "broken.png").unlink()
    data = load_dataset(tmp_path, image_size=(6, 7))
    assert data_shape(tmp_path, image_size=(6, 7)) == data.shape == (6, 7, 1)
    np.testing.assert_array_equal(by_name(data)["003.png"][0], 77)


def test_halving_averages(tmp_path):
    # A field of constant 2×2 blocks, each block away from the borders the mean of a triangle of
    # weights 1, 3, 3, 1 over its own and the neighbouring pixels.
    image = np.kron(grey(1, (6, 6))[0], np.ones((2, 2))).astype(np.uint8)
    write(tmp_path, [image] * 3)
    half = load_dataset(tmp_path, image_size=(6, 6)).train.x[0, ..., 0]
    weights = np.array([1, 3, 3, 1]) / 8
    window = image[3:7, 3:7].astype(float)
    # Pillow rounds after each of the two passes.
    assert abs(half[2, 2] - weights @ window @ weights) <= 1


def test_broken_files_are_named(tmp_path):
    write(tmp_path, grey(3, (50, 40)))
    whole = (tmp_path / "001.png").read_bytes()
    for content in (whole[: len(whole) // 2], b"text", b""):
        (tmp_path / "001.png").write_bytes(content)
        with raises(f"{tmp_path / '001.png'}: cannot be read as an image"):
            load_dataset(tmp_path)


def test_postscript_is_not_run_whatever_it_is_called(tmp_path):
    write(tmp_path, grey(3))
    (tmp_path / "001.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 5\nshowpage\n")
    with raises("001.png: cannot be read as an image"):
        load_dataset(tmp_path)


def test_pictures_that_are_not_one_opaque_image_are_refused(tmp_path):
    write(tmp_path, grey(3))
    odd = tmp_path / "001.png"
    clear = np.zeros((5, 4, 4), np.uint8)
    Image.fromarray(clear).save(odd)
    with raises("001.png: is transparent in places; expected opaque images"):
        load_dataset(tmp_path)
    frames = [Image.fromarray(frame) for frame in grey(3)]
    frames[0].save(odd, save_all=True, append_images=frames[1:])
    with raises("001.png: has 3 frames; expected one image in a file"):
        load_dataset(tmp_path)
    odd.unlink()
    Image.fromarray(np.zeros((5, 4), np.float32)).save(tmp_path / "f.tiff")
    with raises("f.tiff: holds 32-bit numbers"):
        load_dataset(tmp_path)
    (tmp_path / "f.tiff").unlink()
    write(tmp_path, RNG.integers(0, 65536, (1, 5, 4), dtype=np.uint16), start=1)
    with raises(f"{odd} is 16-bit but {tmp_path / '000.png'} is 8-bit"):
        load_dataset(tmp_path)


def test_photos_with_a_preview_are_photos(tmp_path):
    photo, preview = (Image.fromarray(image) for image in grey(2, (16, 16)))
    for i in range(3):
        photo.save(tmp_path / f"{i}.jpg", format="MPO", save_all=True, append_images=[preview])
    assert load_dataset(tmp_path).shape == (16, 16, 1)
