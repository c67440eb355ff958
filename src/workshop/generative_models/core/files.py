"""Files that a reader finds whole: the old one or the new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
