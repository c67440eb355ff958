"""Output that never stops a command: closed pipes, and encodings without our letters."""

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PLAIN = {
    "×": "x", "±": "+-", "·": "*", "…": "...", "–": "-", "—": "-", "−": "-", "→": "->", "≤": "<=",
    "≥": ">=", "≈": "~", "‖": "||", "†": "*", "✓": "v", "“": '"', "”": '"', "‘": "'", "’": "'",
    "•": "*", "━": "-", "╸": "-", "╺": "-", "─": "-", "│": "|", "Σ": "sum", "√": "sqrt ",
    "α": "alpha", "β": "beta", "γ": "gamma", "ε": "eps", "θ": "theta", "λ": "lambda", "μ": "mu",
    "σ": "sigma", "φ": "phi", "ω": "omega",
}  # fmt: skip
"""What stands for letters that an encoding lacks."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded, as the handler of an encoding's errors."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(map(_plain_letter, letters)), error.end


def _plain_letter(letter: str) -> str:
    base = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return _PLAIN.get(letter) or base or "?"


codecs.register_error("workshop.plain", _plain)


class _Open:
    """A stream whose reader may go away: what is written from then on is dropped."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def robust_output() -> Iterator[None]:
    """Within the block, drop output whose reader is gone, and replace what cannot be encoded.

    `workshop train | head` trains to its end, and an ASCII terminal shows β as beta.
    """
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="workshop.plain")
    sys.stdout, sys.stderr = (None if stream is None else _Open(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before
