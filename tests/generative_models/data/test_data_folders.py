"""Folders as people have them: each works, is refused with the way out, or is counted."""

import os
import re

import numpy as np
import pytest
from PIL import Image, features

from workshop.generative_models.data import data_shape, load_dataset, load_in_order
from workshop.generative_models.data.load import class_count

RNG = np.random.default_rng(0)


def write(folder, count=4, *, start=0, mode="L", size=(4, 5), ending="png", **options):
    """`count` images of random pixels, 5 high and 4 wide."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        pixels = RNG.integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{i:03}.{ending}", **options)


def raises(*messages):
    return pytest.raises(ValueError, match="(?s)" + ".*".join(map(re.escape, messages)))


def names(data):
    return sorted(name for split in data.splits.values() for name in split.names)


class TestSplits:
    @pytest.mark.parametrize(
        "spelling",
        [
            ("train", "val", "test"), ("Train", "Val", "Test"), ("TRAIN", "VALIDATION", "TEST"),
            ("training", "valid", "testing"), ("Training", "dev", "Testing"),
        ],
    )  # fmt: skip
    def test_spellings(self, tmp_path, spelling):
        for name, count in zip(spelling, (5, 2, 3), strict=True):
            write(tmp_path / name / "a", count)
        data = load_dataset(tmp_path)
        assert [len(split) for split in data.splits.values()] == [5, 2, 3]
        assert data.class_names == ("a",)
        assert {name.split("/")[0] for name in data.test.names} == {spelling[2]}

    @pytest.mark.parametrize(
        ("folders", "messages"),
        [
            (["train", "Train"], ["expected one train/"]),
            (["train", "val", "dev"], ["expected one validation/"]),
            (["Testing", "cats"], ["expected train/ with validation/ and test/"]),
            (["train_images", "test_images"], ["which look like splits; rename them"]),
            (["01-Train", "02-val", "03-test"], ["which look like splits; rename them"]),
            (["cat/train", "cat/test", "dog/train"], ["a split inside of cat; expected splits"]),
            (["all/cat", "all/dog"], ["in its folders cat, dog", "give", "all for a class each"]),
            (["train/img/cat", "train/img/dog"], ["in its folders cat, dog", "train/img"]),
        ],
    )
    def test_structures_that_would_be_misread_are_refused(self, tmp_path, folders, messages):
        for folder in folders:
            write(tmp_path / folder)
        for function in (load_dataset, data_shape, class_count):
            with raises(*messages):
                function(tmp_path)

    def test_a_class_may_be_called_like_a_word_of_a_split(self, tmp_path):
        for folder in ("toy train", "real train"):
            write(tmp_path / folder)
        assert load_dataset(tmp_path).class_names == ("real train", "toy train")


class TestClasses:
    def test_numbers_are_in_the_order_of_their_values(self, tmp_path):
        for i in range(12):
            write(tmp_path / str(i), 3)
        data = load_dataset(tmp_path)
        assert data.class_names == tuple(map(str, range(12)))
        assert class_count(tmp_path) == 12
        for split in data.splits.values():
            assert [int(name.split("/")[0]) for name in split.names] == split.y.tolist()

    def test_accents_that_are_stored_in_two_ways_are_one_class(self, tmp_path):
        for folder in ("train/caf\u00e9", "test/cafe\u0301", "train/\u732b und  Hund"):
            write(tmp_path / folder)
        assert load_dataset(tmp_path).class_names == ("caf\u00e9", "\u732b und  Hund")

    def test_equal_file_names_are_different_examples(self, tmp_path):
        write(tmp_path / "a")
        write(tmp_path / "b")
        assert len(set(names(load_dataset(tmp_path)))) == 8

    def test_empty_ones_and_other_files_are_counted(self, tmp_path):
        write(tmp_path / "a")
        (tmp_path / "b").mkdir()
        (tmp_path / "c" / "d").mkdir(parents=True)
        for name in ("x.heic", "y.HEIC", "notes.txt", "LICENSE"):
            (tmp_path / "a" / name).write_text("")
        os.mkfifo(tmp_path / "a" / "pipe.png")  # opening it would wait for ever
        data = load_dataset(tmp_path)
        assert data.class_names == ("a",)
        said = "passed over 5 other files (2 .heic, 1 no suffix, 1 .txt, 1 .png)"
        assert data.notes == (said, "no images in b, c")
        assert said in str(data)

    def test_what_a_folder_without_images_holds_is_said(self, tmp_path):
        (tmp_path / "x.heic").write_text("")
        with raises("no images in", "but 1 .heic files; expected .png", "Pillow converts others"):
            load_dataset(tmp_path)

    def test_what_systems_leave_behind_is_passed_over(self, tmp_path):
        write(tmp_path / "a")
        for folder in (".ipynb_checkpoints", "__MACOSX/a", "@eaDir", "a/.cache", "a/@eaDir"):
            write(tmp_path / folder)
        (tmp_path / "a" / "._000.png").write_text("")
        assert names(load_dataset(tmp_path)) == [f"a/{i:03}.png" for i in range(4)]


class TestLinks:
    def test_class_folders_and_files_are_followed(self, tmp_path):
        write(tmp_path / "elsewhere" / "b")
        write(tmp_path / "data" / "a")
        (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere" / "b")
        (tmp_path / "data" / "a" / "999.png").symlink_to(tmp_path / "elsewhere" / "b" / "000.png")
        data = load_dataset(tmp_path / "data")
        assert data.class_names == ("a", "b")
        assert len(names(data)) == 9
        assert not data.notes

    def test_splits_may_be_links(self, tmp_path):
        for name, count in (("one", 5), ("two", 2)):
            write(tmp_path / "store" / name, count)
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "train").symlink_to(tmp_path / "store" / "one")
        (tmp_path / "data" / "test").symlink_to(tmp_path / "store" / "two")
        assert len(load_dataset(tmp_path / "data").test) == 2

    def test_a_cycle_ends(self, tmp_path):
        write(tmp_path / "a")
        (tmp_path / "a" / "around").symlink_to(tmp_path)
        data = load_dataset(tmp_path)
        assert len(names(data)) == 4
        assert data.notes == ("not followed around, a link to a folder around it",)

    def test_a_folder_counts_once(self, tmp_path):
        write(tmp_path / "train" / "a")
        (tmp_path / "test").symlink_to(tmp_path / "train")
        with raises("are the same folder, so its images would count twice"):
            load_dataset(tmp_path)

    def test_links_that_lead_nowhere_are_named(self, tmp_path):
        write(tmp_path / "a")
        (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
        with raises("1 of 5 files cannot be used", "gone.png: cannot be read"):
            load_dataset(tmp_path)
        (tmp_path / "b").symlink_to(tmp_path / "nowhere")
        with raises("b is a link that leads nowhere"):
            load_dataset(tmp_path)


def test_folders_that_may_not_be_read_are_named(tmp_path, monkeypatch):
    """As root may read everything, the system's answer is imitated."""
    write(tmp_path / "a")
    write(tmp_path / "b")
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path).endswith("b"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with raises("b cannot be read (Permission denied)"):
        load_dataset(tmp_path)


class TestFiles:
    @pytest.mark.parametrize(
        "ending", ["JPG", "jfif", "JPEG", "jpe", "TIFF", "Png", "WEBP", "avif"]
    )
    def test_suffixes(self, tmp_path, ending):
        if ending == "avif" and not features.check("avif"):
            pytest.skip("this Pillow has no AVIF")
        kind = {"jfif": "JPEG", "jpe": "JPEG", "JPG": "JPEG"}.get(ending, ending.upper())
        write(tmp_path, mode="RGB", ending=ending, format=kind)
        assert load_dataset(tmp_path).shape == (5, 4, 3)

    @pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff", "avif"])
    def test_shapes_are_upright(self, tmp_path, ending):
        if ending == "avif" and not features.check("avif"):
            pytest.skip("this Pillow has no AVIF")
        for i in range(3):
            turned = Image.Exif()
            turned[0x0112] = 6
            write(tmp_path, 1, start=i, mode="RGB", size=(6, 9), ending=ending, exif=turned)
        assert data_shape(tmp_path) == load_dataset(tmp_path).shape == (6, 9, 3)

    @pytest.mark.parametrize(
        ("modes", "channels"),
        [
            (["L", "RGB"], 3), (["RGB", "L"], 3), (["L", "1", "LA"], 1), (["L", "RGBA"], 3),
            (["1", "P"], 3), (["LA", "CMYK"], 3), (["L", "L"], 1), (["P", "P"], 3),
        ],
    )  # fmt: skip
    def test_images_are_coloured_if_any_is(self, tmp_path, modes, channels):
        for i, mode in enumerate(modes):
            write(tmp_path, 2, start=10 * i, mode=mode, ending="tiff" if mode == "CMYK" else "png")
        shape = (5, 4, channels)
        assert data_shape(tmp_path) == load_dataset(tmp_path).shape == shape
        splits, _ = load_in_order(tmp_path, on_disk=True)
        assert splits["train"].shape == shape
        # A grey image among coloured ones has three equal channels.
        first = load_in_order(tmp_path)[0]["train"].x[0]
        assert (
            modes[0] == "P" or channels == 1 or modes[0] == "RGB" or (first == first[..., :1]).all()
        )

    def test_grey_palettes_are_grey(self, tmp_path):
        for i in range(3):
            grey = RNG.integers(0, 256, (5, 4), np.uint8)
            Image.fromarray(grey).convert("RGB").quantize(8).save(tmp_path / f"{i}.png")
        assert data_shape(tmp_path) == load_dataset(tmp_path).shape == (5, 4, 1)

    def test_all_that_cannot_be_used_is_named_and_may_be_left_out(self, tmp_path, caplog):
        write(tmp_path, 10, size=(40, 50))
        whole = (tmp_path / "000.png").read_bytes()
        (tmp_path / "001.png").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "002.png").write_bytes(b"")
        Image.new("RGBA", (40, 50)).save(tmp_path / "003.png")
        frames = [Image.new("L", (40, 50), i) for i in (1, 99)]
        frames[0].save(tmp_path / "004.gif", save_all=True, append_images=frames[1:])
        Image.fromarray(np.zeros((50, 40), np.float32)).save(tmp_path / "005.tiff")
        with raises("5 of 12 files cannot be used", "001.png: cannot be read",
                    "002.png: cannot be read", "003.png: is transparent", "004.gif: has 2 frames",
                    "005.tiff: holds 32-bit", "--skip-unusable"):  # fmt: skip
            load_dataset(tmp_path)
        data = load_dataset(tmp_path, skip_unusable=True)
        assert names(data) == [f"{i:03}.png" for i in (0, 4, 5, 6, 7, 8, 9)]
        said = "left out 5 that cannot be used (001.png, 002.png, 003.png, 004.gif, 005.tiff)"
        assert data.notes == (said,)
        found, _ = load_in_order(tmp_path, skip_unusable=True)
        assert len(found["train"]) == 7
        assert said in caplog.text

    def test_nothing_but_broken_files(self, tmp_path):
        for i in range(9):
            (tmp_path / f"{i}.png").write_bytes(b"")
        for options in ({}, {"skip_unusable": True}):
            with raises("9 of 9 files cannot be used"):
                load_dataset(tmp_path, **options)

    @pytest.mark.parametrize("mode", ["L", "P", "RGB"])
    def test_masks_of_zeros_and_ones_are_not_taken_for_dark_bytes(self, tmp_path, mode):
        for i in range(5):
            mask = (RNG.random((5, 4)) > 0.5).astype(np.uint8)
            image = Image.fromarray(mask)
            image.convert(mode).save(tmp_path / f"{i}.png")
        with raises("holds only the integers 0 and 1", "or images of 0 and 255"):
            load_dataset(tmp_path)
        for path in tmp_path.iterdir():  # the way out
            with Image.open(path) as image:
                bright = Image.fromarray(255 * np.asarray(image.convert("L")))
            bright.save(path)
        x = load_dataset(tmp_path).train.x
        assert np.unique(x).tolist() == [0, 255]

    def test_a_single_file_is_no_data(self, tmp_path):
        write(tmp_path, ending="JPG")
        for function in (load_dataset, data_shape):
            with raises("000.JPG is a single image; give the folder that holds it"):
                function(tmp_path / "000.JPG")
