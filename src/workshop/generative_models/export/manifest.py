"""`export.json`: what an export holds, how each function is called, and of which model."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.files import write_text

MANIFEST_FILE = "export.json"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
_Format = Literal["stablehlo", "onnx", "safetensors"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TensorInfo(_Strict):
    """An input or output; the size of a batch stands as "batch"."""

    name: Name
    shape: list[Annotated[int, Field(ge=1)] | Literal["batch"]]
    dtype: Literal["float32", "int32"]
    about: str = ""


class FunctionInfo(_Strict):
    """A function: its arguments in their order, and what it returns."""

    about: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


class Manifest(_Strict):
    """What `export.json` holds."""

    format: _Format
    version: Literal[1] = 1
    model: str
    config: dict[str, Any] | None
    made_with: dict[str, str]
    functions: dict[Name, FunctionInfo]
    left_out: dict[Name, str]
    """Functions that the format cannot hold, and why."""
    differences: dict[Name, float]
    """The largest |program - model| / max(1, max |model|) when a function was checked."""
    files: dict[str, str]
    """SHA-256 of each file, by its name."""

    def write(self, folder: Path) -> None:
        """Write `export.json`."""
        write_text(self.model_dump_json(indent=2) + "\n", folder / MANIFEST_FILE)


def read_manifest(folder: Path) -> Manifest:
    """Return what an export's folder says that it holds, once its files are what it says.

    Raises:
        ValueError: if the folder is no export, or a file is missing, damaged or changed.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ValueError(f"{folder} is no export: it holds no {MANIFEST_FILE}")
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"]))
        raise ValueError(f"{path} is damaged: {where}: {wrong['msg']}") from None
    for name, digest in manifest.files.items():
        if Path(name).name != name or not (folder / name).is_file():
            raise ValueError(f"{path} names the file {name!r}, which the folder does not hold")
        if digests(folder, [name])[name] != digest:
            raise ValueError(
                f"{folder / name} is damaged or was changed: its SHA-256 is not the one in "
                f"{MANIFEST_FILE}; export the model again"
            )
    return manifest


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of files by their names."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
