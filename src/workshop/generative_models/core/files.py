"""Write files atomically, by one process at a time, and read a run's configuration."""

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

CONFIG_FILE = "config.json"
"""Name of a run's configuration in its folder."""
LOCK_FILE = ".lock"
"""Name of the file in a folder that the process which writes the folder holds locked."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write to, which takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Write text in UTF-8, whatever the locale, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(content: Mapping[str, Any], path: Path, *, allow_nan: bool = True) -> None:
    """Write JSON, whole or not at all; without `allow_nan`, NaN in it is a ValueError."""
    write_text(json.dumps(content, indent=2, allow_nan=allow_nan) + "\n", path)


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return what the `config.json` of a folder holds."""
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        why = f"it holds no {CONFIG_FILE}" if path.parent.is_dir() else "there is no such folder"
        raise ValueError(f"{folder} is no run: {why}")
    return parse_config(path)


def parse_config(path: Path) -> dict[str, Any]:
    """Return what a file like `config.json` holds, or say that it is damaged or no model."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not (isinstance(content, dict) and {"model", "config"} <= content.keys()):
        raise ValueError(f"{path} describes no model: expected the keys 'model' and 'config'")
    return content


@contextmanager
def locked(folder: Path, name: str = LOCK_FILE) -> Iterator[None]:
    """Hold the lock of a folder within the block, or raise an error that names who holds it.

    A thread that holds the lock may take it again. Where a file system has no locks, or the folder
    cannot be written, the block runs without one.
    """
    path = folder.resolve() / name
    # One object for each thread, which counts how often the thread holds it.
    lock = FileLock(path, blocking=False, is_singleton=True, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        what = folder if name == LOCK_FILE else path.with_name(name.removesuffix(".lock"))
        raise BlockingIOError(
            f"{what} is being written by {_words(path)}: wait until it ends, or stop it, or use "
            "another folder"
        ) from None
    except OSError:
        with suppress(OSError):
            path.unlink()
        yield
        return
    outermost = lock.lock_counter == 1
    if outermost:
        with suppress(OSError):  # Windows lets nobody write what is locked
            path.write_text(_this_process(), encoding="utf-8")
    try:
        yield
    finally:
        if outermost:
            with suppress(OSError):  # before the release: who waits sees that the file is gone
                path.unlink()
        lock.release()


def holder(folder: Path, name: str = LOCK_FILE) -> str | None:
    """Return who holds the lock of a folder, in words, or None if nobody does."""
    path = folder.resolve() / name
    if not path.exists():
        return None
    try:
        with FileLock(path, blocking=False, fallback_to_soft=False):
            return None
    except Timeout:
        return _words(path)
    except OSError:
        return None


def _this_process() -> str:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    return f"process {os.getpid()} on {socket.gethostname()} ({command}) since {since}"


def _words(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") or "another process"  # about to be written
    except (OSError, ValueError):
        return "another process"
