"""Runs that are continued, trained for longer, or being written by another process."""

import json
import re
import shlex
import threading

import numpy as np
import pytest

import workshop
from workshop.cli import main
from workshop.generative_models.core.files import locked

SHORT = ("--hidden-dims", 8, "--latent-dim", 2, "--evaluate-every", 10, "--no-progress")


def command(*arguments):
    main([str(a) for a in arguments])


def refused(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        command(*arguments)
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run whose path has a space."""
    folder = tmp_path_factory.mktemp("runs") / "a run"
    command("train", "--steps", 20, *SHORT, "--schedule", "cosine", "--out", folder)
    return folder


@pytest.mark.slow
def test_a_longer_run_is_the_run_of_that_length(tmp_path, capsys):
    """With a constant learning rate; the oracle is a run that had the steps from the start."""
    command("train", "--steps", 30, *SHORT, "--out", tmp_path / "whole")
    command("train", "--steps", 20, *SHORT, "--out", tmp_path / "longer")
    capsys.readouterr()
    command("train", "--resume", tmp_path / "longer", "--steps", 30, "--no-progress")
    said = capsys.readouterr().out
    assert "trains to step 30 in all (before: 20)" in said
    assert "continues from step 20" in said
    assert "schedule" not in said
    weights, rows = [], []
    for name in ("whole", "longer"):
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        rows.append([line for line in lines if '"validation"' in line])
    assert weights[0] == weights[1]
    assert rows[0] == rows[1]
    saved = json.loads((tmp_path / "longer" / "config.json").read_text())
    assert saved["training"]["steps"] == 30


@pytest.mark.slow
def test_what_becomes_of_a_schedule_is_said(run, tmp_path, capsys):
    """At half of a cosine the rate is half of the largest; at its end it was 0."""
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    capsys.readouterr()
    command("train", "--resume", folder, "--steps", 40, "--no-progress")
    said = capsys.readouterr().out
    assert (
        "the cosine schedule of the learning rate now ends at step 40: at step 20 the rate is "
        "0.0005 instead of 0" in said
    )


@pytest.mark.slow
def test_what_a_finished_run_recommends_is_what_trains_it_longer(run, capsys):
    capsys.readouterr()
    command("train", "--resume", run, "--no-progress")
    suggestion = re.search(r"for longer: (workshop train .*)", capsys.readouterr().out)
    assert suggestion is not None
    words = shlex.split(suggestion[1])
    assert words == ["workshop", "train", "--resume", str(run), "--steps", "40"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--steps", 10), "has taken 20 steps already. --steps is the total"),
        (("--steps", 0), "--steps=0"),
        (("--batch-size", 3), "drop --batch-size"),
        (("--batch_size", 3), "drop --batch-size"),
        (("--steps", 40, "--seed", 3), "drop --seed"),
        (("--encoder.activation", "relu"), "drop --encoder.activation"),
    ],
)
def test_what_may_not_be_given_to_a_run_that_continues(run, capsys, options, message):
    before = (run / "config.json").read_bytes()
    assert message in refused(capsys, "train", "--resume", run, *options)
    assert (run / "config.json").read_bytes() == before


def test_a_run_without_its_saved_model_is_sampled_from_its_checkpoint(run, tmp_path, capfd):
    """As after Ctrl-C, or if it was killed between its last checkpoint and the model."""
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "model.safetensors").unlink()
    for at, name in ((run, "one.npy"), (folder, "two.npy")):
        command("sample", at, "--count", 3, "--out", tmp_path / name)
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), np.load(tmp_path / "two.npy"))
    assert "the model is that of the checkpoint of step 20 of 20" in capfd.readouterr().err
    x = np.zeros((2, 8, 8, 1), np.float32)
    one, two = (workshop.load(at).encode(x)[0] for at in (run, folder))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--out", "RUN"),
        ("train", "--resume", "RUN"),
        ("train", "--resume", "RUN", "--steps", "50"),
        ("prior", "RUN"),
        ("evaluate", "RUN"),
    ],
)
def test_what_another_process_writes_is_refused(run, capsys, arguments):
    """The other process is another thread here: a lock belongs to the thread that took it."""
    taken, done = threading.Event(), threading.Event()
    name = "evaluation.json.lock" if arguments[0] == "evaluate" else ".lock"

    def hold():
        with locked(run, name):
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    before = sorted(path.name for path in run.iterdir())
    try:
        said = refused(capsys, *[str(run) if a == "RUN" else a for a in arguments])
        after = sorted(path.name for path in run.iterdir())
    finally:
        done.set()
        thread.join()
    assert re.search(r"is being written by process \d+ on \S+ \(.*\) since 20", said)
    assert before == after


@pytest.mark.slow
def test_of_two_runs_that_start_together_one_is_refused(tmp_path, without_figures):
    import subprocess

    words = ["train", *map(str, SHORT), "--steps", "5", "--out", str(tmp_path / "run")]
    both = [
        subprocess.Popen([*without_figures, *words], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    said = " ".join(errors[0 if both[0].returncode else 1].split())
    # By the lock if it comes while the other runs, by what the other left if it comes later.
    assert "is being written by process" in said or "is not empty" in said
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [5, 5]
    assert (tmp_path / "run" / "model.safetensors").is_file()
