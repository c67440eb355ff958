"""One process at a time writes a folder; the holder is named, and a killed one holds nothing."""

import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from workshop.generative_models.core.files import LOCK_FILE, holder, locked

HOLD = """
import sys, time
from pathlib import Path
from workshop.generative_models.core.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_another_process_is_refused_and_told_who_holds_the_lock(tmp_path, other):
    with (
        pytest.raises(BlockingIOError, match="is being written by process") as told,
        locked(tmp_path),
    ):
        pass
    message = str(told.value)
    assert f"process {other.pid} " in message
    assert str(tmp_path) in message
    assert "since 20" in message
    assert f"process {other.pid} " in str(holder(tmp_path))
    with locked(tmp_path, "evaluation.json.lock"):
        pass  # another name is another lock


def test_a_killed_process_holds_nothing(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / LOCK_FILE).exists(), "what it left behind"
    assert holder(tmp_path) is None
    with locked(tmp_path):
        assert f"process {os.getpid()} " in str(holder(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_thread_takes_its_own_lock_again_and_another_thread_is_refused(tmp_path):
    refused = []

    def attempt():
        try:
            with locked(tmp_path):
                pass
        except BlockingIOError as error:
            refused.append(str(error))

    with locked(tmp_path):
        with locked(tmp_path):
            pass
        assert holder(tmp_path) is not None, "the outer block still holds it"
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert len(refused) == 1
    attempt()
    assert len(refused) == 1


def test_of_many_threads_one_at_a_time_is_inside(tmp_path):
    inside, most, taken = [], [], 0

    def attempt():
        nonlocal taken
        for _ in range(50):
            try:
                with locked(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    taken += 1
                    inside.pop()
            except BlockingIOError:
                pass

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert taken == len(most)


@pytest.mark.parametrize("kind", ["not on this file system", "not writable"])
def test_where_nothing_can_be_locked_the_block_runs(tmp_path, monkeypatch, kind):
    if kind == "not on this file system":

        def refuse(file, operation):
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(fcntl, "flock", refuse)
    else:

        def refuse(path, flags, mode=0o777):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
    with locked(tmp_path), locked(tmp_path):
        pass
    assert holder(tmp_path) is None
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())
