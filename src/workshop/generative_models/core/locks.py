"""Locks on files that one process at a time may write, released by the operating system."""

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there
    fcntl = None

LOCK_FILE = ".lock"
"""Name of the file in a folder that the process which writes the folder holds locked."""


@dataclass
class _Held:
    """A lock of this process."""

    file: int
    thread: int
    times: int = 1


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


@contextmanager
def locked(folder: Path, name: str = LOCK_FILE) -> Iterator[None]:
    """Hold the lock of a folder within the block, or raise an error that names who holds it.

    The lock is advisory and belongs to the process: the operating system releases it when the
    process ends, however it ends. A thread that holds it may take it again. Where a file system
    has no such locks, and on Windows, the block runs without one.

    Args:
        folder: an existing folder.
        name: of the file that is locked; it is removed at the end of the block.

    Raises:
        BlockingIOError: if another process, or another thread of this one, holds the lock.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     with locked(Path(name)):
        ...         print(holder(Path(name)) is not None)
        ...     print(holder(Path(name)))
        True
        None
    """
    path = folder.resolve() / name
    _acquire(path)
    try:
        yield
    finally:
        _release(path)


def holder(folder: Path, name: str = LOCK_FILE) -> str | None:
    """Return who holds the lock of a folder, in words, or None if nobody does."""
    path = folder.resolve() / name
    if path in _held:
        return _words(path)
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return _words(path) if _lock(file) is False else None
    finally:
        os.close(file)


def _acquire(path: Path) -> None:
    with _guard:
        held = _held.get(path)
        if held is not None:
            if held.thread != threading.get_ident():
                _refuse(path)
            held.times += 1
            return
        file = _open_locked(path)
        if file is not None:
            _held[path] = _Held(file, threading.get_ident())


def _release(path: Path) -> None:
    with _guard:
        held = _held.get(path)
        if held is None:  # where nothing can be locked
            return
        held.times -= 1
        if held.times:
            return
        del _held[path]
        # Before the lock is released: a process that waits with this file opened sees below that
        # it is no longer the one in the folder.
        with suppress(OSError):
            path.unlink()
        os.close(held.file)


def _open_locked(path: Path) -> int | None:
    """Return the descriptor of the locked file, or None where nothing can be locked."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # a folder that cannot be written needs no lock
            return None
        taken = _lock(file)
        if taken and _is_still_at(path, file):
            os.ftruncate(file, 0)
            os.write(file, json.dumps(_about()).encode())
            return file
        os.close(file)
        if taken is None:
            with suppress(OSError):
                path.unlink()
            return None
        if not taken:
            _refuse(path)


def _lock(file: int) -> bool | None:
    """Lock an open file: True if it is locked now, False if another has it, None if none can."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network file system without locks
        return None
    return True


def _is_still_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except OSError:
        return False


def _about() -> dict[str, object]:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": command}


def _words(path: Path) -> str:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        where = "" if about["host"] == socket.gethostname() else f" on {about['host']}"
        return f"process {about['pid']}{where} ({about['command']}) since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is about to be written
        return "another process"


def _refuse(path: Path) -> None:
    what = (
        path.parent if path.name == LOCK_FILE else path.with_name(path.name.removesuffix(".lock"))
    )
    raise BlockingIOError(
        f"{what} is being written by {_words(path)}: wait until it ends, or stop it, or use "
        "another folder"
    )
