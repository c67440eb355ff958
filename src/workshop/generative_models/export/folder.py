"""A model written as programs that run without it, and compared with it before they count."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from ..core import checks
from ..core.checks import optional
from ..core.files import locked
from ..models.code_prior import PRIOR_FILE, save_prior
from ..models.registry import name_of
from ..models.saving import CONFIG_FILE, WEIGHTS_FILE, save_config, save_weights
from ..models.vae import VAE
from . import readme
from .functions import BATCH, FORMATS, Function
from .loading import PROGRAMS, ExportedFunction, functions_in
from .manifest import MANIFEST_FILE, FunctionInfo, Manifest, TensorInfo, digests
from .offered import functions_of

_TOLERANCE = 1e-5
_BATCHES = (1, 3)
"""Sizes of the batches that programs are compared with the model on."""


def export_model(model: VAE, folder: str | Path, to: str) -> Manifest:
    """Write encode, decode, reconstruct and sample as programs, for any number of examples.

    Each is read back, run on the CPU, and compared with the model's own method on two sizes of
    batch: |program - model| ≤ 1e-5 max(1, max |model|), and equal codes. Else nothing is written.

    Args:
        model: which model.
        folder: where to; an older export there is replaced.
        to: "stablehlo", for JAX, XLA and IREE; "onnx", for ONNX runtimes; or "safetensors", the
            weights and the configuration, for this library and readers of arrays.

    Returns:
        What `export.json` says.

    Raises:
        ImportError: for "onnx" without the extra of that name.
        ValueError: if the folder holds something else, a function cannot be written in that
            format, or does not agree with the model.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from flax import nnx
        >>> from workshop.generative_models.export import load_exported
        >>> from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
        >>> rngs = nnx.Rngs(0)
        >>> vae = VAE(MLPEncoder([8], 2, "relu", (6,), rngs=rngs),
        ...           MLPDecoder([8], (6,), 2, rngs=rngs), 2, rngs=rngs)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = export_model(vae, folder, "stablehlo")
        ...     exported = load_exported(folder)
        >>> exported["decode"](np.zeros((5, 2), np.float32)).shape
        (5, 6)
    """
    checks.one_of("to", to, FORMATS)
    if to == "onnx":
        for module in ("jax2onnx", "onnxruntime"):
            optional(module, "onnx", "exporting to ONNX")
    functions = functions_of(model)
    with _whole(Path(folder)) as new, jax.default_device(jax.devices("cpu")[0]):
        kept = {name: f for name, f in functions.items() if to not in f.left_out_of}
        files = _write(model, kept, new, to)
        manifest = Manifest(
            format=to,  # type: ignore[arg-type]
            model=name_of(model) or type(model).__name__,
            config=None if model.config is None else model.config.model_dump(mode="json"),
            made_with=_versions(to),
            functions={name: _info(f) for name, f in kept.items()},
            left_out={name: f.why for name, f in functions.items() if name not in kept},
            differences={},
            files=digests(new, files),
        )
        exported = functions_in(new, manifest)
        found = {name: _difference(f, exported[name]) for name, f in kept.items()}
        manifest = manifest.model_copy(update={"differences": found})
        (new / readme.FILE).write_text(readme.text(manifest), encoding="utf-8")
        manifest.write(new)
    return manifest


def _write(model: VAE, functions: dict[str, Function], folder: Path, to: str) -> list[str]:
    """Write the files of an export, and return their names."""
    if to != "safetensors":
        module = PROGRAMS[to]
        for name, function in functions.items():
            module.write(function, folder / f"{name}{module.SUFFIX}")
        return [name + module.SUFFIX for name in functions]
    save_config(model, folder)
    save_weights(model, folder)
    if model.code_prior is None:
        return [CONFIG_FILE, WEIGHTS_FILE]
    save_prior(model, folder)
    return [CONFIG_FILE, WEIGHTS_FILE, PRIOR_FILE]


def _info(function: Function) -> FunctionInfo:
    (batch,) = export.symbolic_shape(BATCH)
    outputs = zip(function.outputs, function.outputs_of(batch), strict=True)
    return FunctionInfo(
        about=function.about,
        inputs=[
            TensorInfo(name=t.name, shape=list(t.shape), dtype=t.dtype, about=t.about)  # type: ignore[arg-type]
            for t in function.inputs
        ],
        outputs=[
            TensorInfo(name=name, shape=[BATCH, *out.shape[1:]], dtype=jnp.dtype(out.dtype).name)  # type: ignore[arg-type]
            for name, out in outputs
        ],
    )


def _versions(to: str) -> dict[str, str]:
    others = ("jax2onnx", "onnx", "onnxruntime") if to == "onnx" else ()
    found = {}
    for package in ("workshop-vae", "jax", "flax", *others):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # from its source, say
            found[package] = "unknown"
    return found


def _difference(function: Function, exported: ExportedFunction) -> float:
    """Return the largest difference of a program from its model's method, as in `Manifest`."""
    drawn, largest = function.draw(max(_BATCHES)), 0.0
    expected = [np.asarray(array) for array in jax.jit(function.run)(*drawn)]
    for batch in _BATCHES:
        arrays = [
            a[:batch] if BATCH in t.shape else a
            for a, t in zip(drawn, function.inputs, strict=True)
        ]
        found = exported.program(*arrays)
        for name, a, b in zip(function.outputs, found, expected, strict=True):
            apart = _apart(a, b[:batch])
            if not apart <= (0 if b.dtype.kind == "i" else _TOLERANCE):
                raise ValueError(
                    f"the exported {function.name} of {batch} examples is not the model's: "
                    f"{name} differs by {apart:.2g}, expected at most {_TOLERANCE:g}; nothing is "
                    "written"
                )
            largest = max(largest, apart)
    return largest


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    """Return max |found - expected| / max(1, max |expected|); NaN if either is, inf by shape."""
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return float("inf")
    difference = np.abs(found.astype(np.float64) - expected).max()
    return float(difference / max(1.0, np.abs(expected).max()))


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Yield a folder that takes a folder's place when the block ends well; else nothing is left."""
    if folder.exists() and not (folder.is_dir() and _may_be_replaced(folder)):
        raise ValueError(
            f"{folder} is not empty, and holds no export that could be replaced: choose another "
            "folder"
        )
    first = not folder.parent.exists()
    folder.parent.mkdir(parents=True, exist_ok=True)
    new, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("new", "old"))
    try:
        with locked(folder.parent, f"{folder.name}.lock"):
            new.mkdir()
            yield new
            if folder.exists():
                os.replace(folder, old)
            os.replace(new, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists():
            os.replace(old, folder)
        if first:
            folder.parent.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


def _may_be_replaced(folder: Path) -> bool:
    return (folder / MANIFEST_FILE).is_file() or not any(folder.iterdir())
