"""Starts the scripts of the peers, torch_peer.py and artifex_peer.py, in environments of theirs."""

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

OVERRIDE = """
int mkl_serv_intel_cpu_true(void) { return 1; }
int mkl_serv_intel_cpu(void) { return 1; }
"""


class Unavailable(Exception):
    """A peer did not start, or ended; the message is the last thing that it said."""


class Peer:
    """A process that waits for its turn: a call passes words to it and returns its number.

    Args:
        python: the interpreter of the peer's environment.
        words: its script and that script's arguments.
        tuned: load the override of MKL, if one can be made.
    """

    def __init__(self, python: str, *words: str, tuned: bool = False):
        preload = {"LD_PRELOAD": mkl_override()} if tuned and mkl_override() else {}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        try:
            self._process = subprocess.Popen(
                [python, str(HERE / words[0]), *words[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=os.environ | preload,
            )
        except OSError as error:
            raise Unavailable(f"{Path(python).name}: {error.strerror}") from None
        word, _, about = self._process.stdout.readline().partition(" ")
        if word != "ready":
            self.close()
            raise Unavailable(self._last_words())
        self.about: dict = json.loads(about)
        """What it says of itself."""

    def __call__(self, *words: object) -> float:
        answer = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(" ".join(map(str, words)) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            status = self._process.wait()  # minus a signal's number, if one ended it
            raise Unavailable(f"ended with status {status}: {self._last_words()}")
        return float(answer)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        return [*lines, *errors][-1] if lines else "it ended without a word"


_folder = tempfile.TemporaryDirectory(prefix="bench-mkl-")


@functools.cache
def mkl_override() -> str:
    """Compile a library that tells MKL the processor is Intel's, and return its file.

    MKL takes its plainest code for other processors, whatever they can do. Without a compiler,
    return the empty text: PyTorch then runs as it is.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or os.uname().sysname != "Linux":
        return ""
    folder = Path(_folder.name)
    (folder / "override.c").write_text(OVERRIDE)
    library = folder / "override.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(folder / "override.c")]
    done = subprocess.run(command, check=False, capture_output=True)
    return str(library) if done.returncode == 0 else ""
