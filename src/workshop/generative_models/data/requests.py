"""Check what people ask `load_dataset` for."""

from __future__ import annotations

import difflib
import operator
import os
from pathlib import Path
from typing import Any

from workshop.generative_models.data import builtin, folders


def named(name: str | os.PathLike[str], function: str) -> tuple[str, str]:
    """The name as a string, and the call that begins errors about it."""
    try:
        text = os.fspath(name)
    except TypeError:
        text = b""
    if not isinstance(text, str):
        kind = type(name).__name__
        way_out = "; from_arrays(x, y) takes arrays" if hasattr(name, "shape") else ""
        raise TypeError(f"{function}(name) got {kind}; expected a name, a path or hf:...{way_out}")
    return text, f"{function}({text!r})"


def whole(where: str, argument: str, value: object, least: int) -> int:
    """An argument as an integer that is not too small."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise ValueError(f"{where}: {argument}={value!r}; expected {argument} >= {least}, whole")
    return number


def checked_size(where: str, image_size: Any) -> tuple[int, int] | None:
    """The size of images as two integers."""
    if image_size is None:
        return None
    try:
        height, width = (operator.index(side) for side in image_size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(
            f"{where}: image_size={image_size!r}; expected a height and width >= 1: "
            "image_size=(64, 64)"
        )
    return height, width


def unknown(name: str, where: str) -> ValueError:
    """The error for a name that is no data, which lists what there is."""
    close = difflib.get_close_matches(name.lower(), builtin.DATASETS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    found = "no data set or file of that name"
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path) and path.suffix.lower() in folders.SUFFIXES:
        found = f"{path.name} is a single image; give the folder that holds it and others"
    elif os.path.isfile(path):
        found = f"a {path.suffix or 'nameless'} file is no data set"
    known = "\n".join(f"  {key:<13}{info.description}" for key, info in builtin.DATASETS.items())
    return ValueError(
        f"{where}: {found}.{hint} Expected one of\n{known}\n"
        "  FILE.npy     one array, (n, d), (n, h, w) or (n, h, w, c)\n"
        "  FILE.npz     x and perhaps y, or x_train, x_validation, x_test and y_...\n"
        "  FOLDER       of images, class folders or train/, validation/, test/\n"
        "  hf:NAME      a Hugging Face data set, on the hub or in a local folder"
    )
