"""Commands on a run whose data has changed, or has moved, since it was trained."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from workshop.cli import main
from workshop.cli.evaluate import _write_scores
from workshop.cli.runs import open_run, write_run_record
from workshop.generative_models.data import Split, load_dataset
from workshop.generative_models.data.record import FILE
from workshop.generative_models.training import Trainer

PARTS = ("train", "validation", "test")
SHORT = ("--steps", 2, "--encoder-type", "dense", "--hidden-dims", 8, "--latent-dim", 2,
         "--no-progress")  # fmt: skip


def command(*arguments):
    main([str(a) for a in arguments])


def refused(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        command(*arguments)
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of 100 pictures in two classes, and two runs on it."""
    root = tmp_path_factory.mktemp("made")
    for i in range(100):
        picture(root / "pictures" / "ab"[i % 2] / f"{i:03}.png", i)
    for model in ("conditional-vae", "vq-vae"):
        command("train", "--model", model, "--data", root / "pictures", *SHORT,
                "--out", root / model)  # fmt: skip
    return root


@pytest.fixture
def copy(made, tmp_path):
    """The same, to change; the first runs' data stays where it is."""
    shutil.copytree(made, tmp_path / "copy")
    root = tmp_path / "copy"
    for model in ("conditional-vae", "vq-vae"):
        config = (root / model / "config.json").read_text()
        (root / model / "config.json").write_text(config.replace(str(made), str(root)))
    return root


def names(dataset):
    return {part: set(split.names) for part, split in dataset.splits.items()}


def remove(root):
    (root / "pictures" / "a" / "004.png").unlink()


def add(root):
    picture(root / "pictures" / "a" / "000 new.png", 1000)


def rename(root):
    (root / "pictures" / "a" / "004.png").rename(root / "pictures" / "b" / "zzz.png")


@pytest.mark.sampled
@pytest.mark.parametrize("change", [remove, add, rename])
def test_what_was_trained_on_is_never_tested_on(copy, change, capsys):
    before = names(load_dataset(copy / "pictures"))
    change(copy)
    after = names(load_dataset(copy / "pictures"))
    assert after["test"] & before["train"], "a fresh split would test on training examples"
    _, dataset, _ = open_run(copy / "conditional-vae")
    found = names(dataset)
    assert not found["test"] & (before["train"] | before["validation"])
    assert found["test"] >= before["test"] - {"a/004.png"}
    assert found["train"] - {"b/zzz.png"} <= before["train"]
    command("score", copy / "conditional-vae", "--out", copy / "scores.csv", "--samples", 1)
    said = capsys.readouterr().err
    rows = list(csv.DictReader((copy / "scores.csv").read_text().splitlines()))
    assert {row["name"] for row in rows} == found["test"]
    command("encode", copy / "vq-vae", "--out", copy / "codes.npz")
    with np.load(copy / "codes.npz") as codes:
        assert {part: set(codes[f"names_{part}"].tolist()) for part in PARTS} == found
    expected = {remove: "1 missing (1 of train): a/004.png", add: "1 new: a/000 new.png",
                rename: "split or ordered in another way"}[change]  # fmt: skip
    assert "is not as the run found it" in said
    assert expected in said
    said = refused(capsys, "train", "--resume", copy / "conditional-vae", "--no-progress")
    assert f"{copy / 'pictures'} is not as the run found it" in said
    assert expected in said


@pytest.mark.slow
def test_evaluate_counts_the_recorded_test_examples(copy, capsys):
    remove(copy)
    command("evaluate", copy / "conditional-vae", "--quick")
    assert "1 missing" in capsys.readouterr().err
    content = json.loads((copy / "conditional-vae" / "evaluation.json").read_text())
    assert content["data"]["examples"] == 10
    assert "1 missing" in content["data"]["notes"][0]
    command("reconstruct", copy / "conditional-vae", "--count", 10, "--out", copy / "r.npz")
    assert len(np.load(copy / "r.npz")["x"]) == 10


def test_only_training_examples_leave_nothing_to_test_on(copy, capsys):
    train = load_dataset(copy / "pictures").train.names
    for name in train:
        (copy / "some" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(copy / "pictures" / name, copy / "some" / name)
    said = refused(capsys, "reconstruct", copy / "conditional-vae", "--data", copy / "some")
    assert "none is left to test on" in said


@pytest.mark.slow
def test_unchanged_data_is_silent_and_resumes(made, tmp_path, capsys):
    shutil.copytree(made / "conditional-vae", tmp_path / "run")
    command("train", "--resume", tmp_path / "run", "--no-progress")
    command("score", tmp_path / "run", "--out", tmp_path / "s.csv", "--samples", 1)
    captured = capsys.readouterr()
    assert captured.err == ""
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert [r["name"] for r in rows] == list(load_dataset(made / "pictures").test.names)


def test_runs_without_a_record_say_so(copy, capsys):
    (copy / "conditional-vae" / FILE).unlink()
    command("score", copy / "conditional-vae", "--out", copy / "s.csv", "--samples", 1)
    assert "no record of the examples that it was trained on" in capsys.readouterr().err


def test_built_in_data_needs_no_record(tmp_path):
    write_run_record(tmp_path, load_dataset("digits"), "digits")
    assert not (tmp_path / FILE).exists()


@pytest.mark.slow
def test_a_limited_run_keeps_its_test_examples(made, tmp_path, capsys):
    shutil.copytree(made / "pictures", tmp_path / "pictures")
    command("train", "--data", tmp_path / "pictures", *SHORT, "--limit", 20,
            "--out", tmp_path / "run")  # fmt: skip
    before = names(load_dataset(tmp_path / "pictures", limit=20))
    (tmp_path / "pictures" / next(iter(before["validation"]))).unlink()
    _, dataset, _ = open_run(tmp_path / "run")
    found = names(dataset)
    assert found["train"] == before["train"]
    assert before["test"] <= found["test"]
    assert "beyond the run's --limit count as new" in capsys.readouterr().err


MOVED = (["reconstruct"], ["interpolate"], ["traverse"], ["evaluate", "--quick"])


@pytest.mark.sampled
@pytest.mark.parametrize("arguments", MOVED, ids=lambda a: a[0])
def test_data_that_moved(copy, arguments, capsys):
    name, *options = arguments
    run = "conditional-vae"
    (copy / "pictures").rename(copy / "moved pictures")
    said = refused(capsys, name, copy / run, *options)
    assert f"its data, {copy / 'pictures'}, is not there: say where it lies now with --data" in said
    assert "sprites" not in said
    command(name, copy / run, *options, "--data", copy / "moved pictures")
    assert capsys.readouterr().err == "", "it is the run's data: nothing has changed"


def test_a_prior_takes_the_data_where_it_lies_now(copy, capsys):
    (copy / "pictures").rename(copy / "moved")
    assert "is not there: say where" in refused(capsys, "prior", copy / "vq-vae")
    assert "is not there: say where" in refused(capsys, "train", "--resume", copy / "vq-vae")
    said = refused(capsys, "prior", copy / "vq-vae", "--data", copy / "nowhere")
    assert f"{copy / 'nowhere'}': no data set or file of that name" in said


@pytest.mark.parametrize("arguments", [("score", "conditional-vae", "--out", "s.csv"),
                                       ("encode", "vq-vae", "--out", "c.npz")])  # fmt: skip
def test_data_that_moved_for_commands_that_take_all_of_it(copy, arguments, capsys, monkeypatch):
    monkeypatch.chdir(copy)
    (copy / "pictures").rename(copy / "moved")
    name, run, *options = arguments
    said = refused(capsys, name, copy / run, *options)
    assert "is not there" in said
    assert str(copy / run / "config.json") in said
    content = json.loads((copy / run / "config.json").read_text())
    content["training"]["data"] = str(copy / "moved")
    (copy / run / "config.json").write_text(json.dumps(content))
    command(name, copy / run, *options)


def test_a_class_that_is_gone_leaves_the_labels_of_a_conditional_model(copy):
    shutil.rmtree(copy / "pictures" / "a")
    _, dataset, _ = open_run(copy / "conditional-vae")
    assert dataset.class_names == ("a", "b")
    assert all((split.y == 1).all() for split in dataset.splits.values())


def test_scores_name_files_that_are_called_anything(tmp_path):
    names = [b"caf\xc3\xa9.png", b"not utf-8 \xff.png", b"comma, and\nline.png"]
    split = Split(np.zeros((3, 2), np.float32), names=tuple(map(os.fsdecode, names)))
    _write_scores(tmp_path / "s.csv", {"test": split}, {"test": {"elbo": np.zeros(3)}}, None)
    with (tmp_path / "s.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert [os.fsencode(row["name"]) for row in csv.DictReader(file)] == names


@pytest.mark.parametrize(
    ("name", "x", "said"),
    [
        ("a.npy", np.zeros(20), "x has shape (20,); expected (n, d)"),
        ("a.NPY", np.zeros((20, 2, 2, 2, 2)), "x has shape (20, 2, 2, 2, 2); expected (n, d)"),
        ("a.npz", np.zeros(20), "x has shape (20,); expected (n, d)"),
    ],
)
def test_arrays_of_no_examples_are_refused_by_name(tmp_path, capsys, name, x, said):
    with (tmp_path / name).open("wb") as file:
        np.savez(file, x=x) if name.endswith("npz") else np.save(file, x)
    found = refused(capsys, "train", "--data", tmp_path / name)
    assert f"error: data '{tmp_path / name}': {said}" in found


def test_a_mixed_folder_is_trained_on_and_described_in_one_line(tmp_path, capsys, monkeypatch):
    """The first image is grey, others are coloured, one is broken and one is no image."""
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: 1 / 0)  # the line comes before
    data = tmp_path / "my pictures"
    for i in range(20):
        picture(data / "a" / f"{i:02}.png", i)
        if i:
            Image.open(data / "a" / f"{i:02}.png").convert("RGB").save(data / "a" / f"{i:02}.png")
    (data / "b").mkdir()
    (data / "a" / "99.jpg").write_bytes(b"")
    (data / "a" / "notes.txt").write_text("")
    said = refused(capsys, "train", "--data", data, *SHORT, "--out", tmp_path / "run")
    assert "1 of 21 files cannot be used" in said
    assert "--skip-unusable" in said
    with pytest.raises(ZeroDivisionError):
        command("train", "--data", data, *SHORT, "--skip-unusable", "--out", tmp_path / "run")
    assert (
        f"{data} (4 × 4 × 3, bytes, k / 255; train 16, validation 2, test 2; 1 class; passed "
        "over 1 other files (1 .txt); no images in b; left out 1 that cannot be used (a/99.jpg))"
    ) in capsys.readouterr().out
