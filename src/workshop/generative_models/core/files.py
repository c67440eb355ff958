"""Write files atomically, and read a run's configuration."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CONFIG_FILE = "config.json"
"""Name of a run's configuration in its folder."""


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
