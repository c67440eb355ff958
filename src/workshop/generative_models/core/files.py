"""Files that a reader finds whole: the old one or the new one."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write to, which takes its place when the block ends well.

    Missing folders are made. A failure leaves what was at `path`, and nothing else.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "a" / "b.txt") as temporary:
        ...         _ = temporary.write_text("whole")
        ...     print((Path(folder) / "a" / "b.txt").read_text())
        whole
    """
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
