"""A run folder is made once, holds all that a run needs, and is refused when it does not."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from workshop.cli import main

SHORT = ["--steps", "4", "--hidden-dims", "8", "--latent-dim", "2", "--no-progress"]


def command(*arguments):
    main([str(a) for a in arguments])


def refused(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        command(*arguments)
    assert stop.value.code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run on an array, started from the folder that the array lies in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    np.save("a.npy", np.random.default_rng(0).random((60, 6), np.float32))
    command("train", "--data", "a.npy", *SHORT)
    return tmp_path / "here" / "runs" / "a-vae"


def test_what_is_refused_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "monitor='foo'" in refused(capsys, "train", *SHORT, "--monitor", "foo", "--out", "r")
    assert "--coordinator" in refused(capsys, "train", *SHORT, "--processes", "2", "--process", "1")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_goes_on_from_anywhere_with_its_own_data(run, tmp_path, monkeypatch, capsys):
    command("train", "--data", "a.npy", *SHORT)
    second = run.with_name("a-vae-2")
    assert second.is_dir(), "a second run has a folder of its own"

    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    np.save("a.npy", np.random.default_rng(1).random((60, 6), np.float32))
    weights = (run / "model.safetensors").read_bytes()
    command("train", "--resume", run, "--no-progress")
    assert (run / "model.safetensors").read_bytes() == weights
    said = refused(capsys, "train", "--resume", run, "--data", "a.npy", "--no-progress")
    assert "is not as the run found it, examples: 60 new, 60 missing" in said
    shutil.move(tmp_path / "here" / "a.npy", "b.npy")
    command("train", "--resume", run, "--data", "b.npy", "--no-progress")
    assert "continues from step 4" in capsys.readouterr().out

    shutil.rmtree(run / "checkpoints")
    assert "no checkpoint to continue from" in refused(capsys, "train", "--resume", run)
    config = json.loads((second / "config.json").read_text())
    config["training"]["seed"] = "x"
    (second / "config.json").write_text(json.dumps(config))
    for arguments in (["train", "--resume", second], ["evaluate", second]):
        assert "config.json is damaged: seed='x'" in refused(capsys, *arguments)


@pytest.mark.slow
def test_a_second_start_compiles_nothing(tmp_path):
    """The folder of compiled programs has no new one after it."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((60, 6), np.float32))

    def start(out):
        hidden = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
        environment = {k: v for k, v in os.environ.items() if k not in hidden}
        environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        script = "import workshop.cli; workshop.cli.main()"
        words = ["train", "--data", str(tmp_path / "a.npy"), *SHORT, "--out", str(out)]
        subprocess.run(
            [sys.executable, "-c", script, *words], env=environment, check=True, capture_output=True
        )
        programs = (tmp_path / "cache" / "workshop" / "jax").glob("*-cache")
        return {path.name for path in programs}

    first = start(tmp_path / "first")
    assert len(first) > 5
    assert start(tmp_path / "second") == first
