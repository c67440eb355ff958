"""Runs in processes of their own, stopped by real signals at random moments, and resumed.

What nothing stops runs in this process, which compiles only once.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from faults_script import train

SCRIPT = Path(__file__).with_name("faults_script.py")
WAYS = ("resident", "streamed")

pytestmark = pytest.mark.slow  # each starts a process, and all compile


def start(folder: Path, how: str) -> subprocess.Popen:
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(SCRIPT), str(folder), how]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def rows(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def file_number(folder: Path) -> int | None:
    path = folder / "metrics.jsonl"
    return path.stat().st_ino if path.exists() else None


def strike(folder: Path, how: str, number: int, moment: int, delay: float) -> tuple[int, str]:
    """Send a signal once the metrics file has `moment` rows; return the exit code and stderr.

    A run that goes on writes the file anew: until then its rows are those of the run before.
    """
    before = file_number(folder)
    run = start(folder, how)
    while (file_number(folder) == before or rows(folder) < moment) and run.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    run.send_signal(number)
    _, errors = run.communicate(timeout=300)
    return run.returncode, errors


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing stops: its metrics file, and all arrays at its end."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder, "resident")
    return end(folder)


def end(folder: Path) -> tuple[str, list[np.ndarray]]:
    with np.load(folder / "end.npz") as file:
        return (folder / "metrics.jsonl").read_text(), [file[name] for name in file.files]


def assert_same(one, other):
    assert one[0] == other[0], "the metrics files differ"
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("how", WAYS)
def test_killed_at_random_and_resumed_a_run_ends_as_if_never_stopped(whole, tmp_path, how):
    """Weights, averages, best model, codebook usage and metrics, bit for bit, for both feeds."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    moments = sorted(chance.sample(range(1, 45), 2))
    signals = [signal.SIGKILL, chance.choice([signal.SIGTERM, signal.SIGINT])]
    print(f"seed {seed}: signals {signals} at rows {moments}")  # pytest shows it on failure
    for number, moment in zip(signals, moments, strict=True):
        code, errors = strike(tmp_path, how, number, moment, 0.03 * chance.random())
        assert code != 0, "the run ended before it was struck"
        if number != signal.SIGKILL:
            step = errors.rsplit("stopped at step ", 1)[1].split()[0]
            assert (tmp_path / "checkpoints" / step).is_dir(), "no checkpoint of that very step"
    train(tmp_path, how)
    assert_same(whole, end(tmp_path))


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a run that was killed half way."""
    folder = tmp_path_factory.mktemp("killed")
    strike(folder, "resident", signal.SIGKILL, 25, 0.0)
    return folder


def damage(folder: Path, how: str) -> None:
    """Spoil the newest checkpoint."""
    newest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    files = [path for path in newest.rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    if how == "truncated":
        largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    elif how == "flipped":
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
    elif how == "removed":
        largest.unlink()
    else:
        for path in files:
            path.write_bytes(b"")


@pytest.mark.parametrize("how", ["truncated", "flipped", "removed", "emptied"])
def test_a_damaged_newest_checkpoint_costs_only_the_way_from_the_one_before(
    whole, killed, tmp_path, caplog, how
):
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    damage(tmp_path, how)
    train(tmp_path, "resident")
    assert "cannot be read" in caplog.text
    assert_same(whole, end(tmp_path))


def test_a_full_disk_is_named_and_costs_nothing_saved(whole, killed, tmp_path):
    """A limit on the size of files stands for the full disk: writing fails the same way."""
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    saved = {path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()}
    limited = (
        "import resource, runpy, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        f"sys.argv = ['script', {str(tmp_path)!r}, 'resident']\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    )
    run = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True)
    assert run.returncode != 0
    assert "could not be written to" in run.stderr
    assert "the last good checkpoint is step" in run.stderr
    assert saved <= {path.name for path in (tmp_path / "checkpoints").iterdir()}
    train(tmp_path, "resident")
    assert_same(whole, end(tmp_path))
