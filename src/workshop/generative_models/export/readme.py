"""The README of an export: what is in it, and how each function is run."""

from workshop.generative_models.core.supports import Ball, Sphere

from .manifest import FunctionInfo, Manifest, TensorInfo

FILE = "README.md"

_START = {
    "stablehlo": """import numpy as np
from jax import export

def load(name):
    with open(f"{name}.stablehlo", "rb") as file:
        return export.deserialize(bytearray(file.read())).call
""",
    "onnx": """import numpy as np
import onnxruntime

def load(name):
    session = onnxruntime.InferenceSession(f"{name}.onnx")
    names = [given.name for given in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays)))
""",
    "safetensors": """import numpy as np
from safetensors.numpy import load_file
from workshop.generative_models.export import load_exported

weights = load_file("model.safetensors")  # arrays by name, for programs of any kind

def load(name):
    return load_exported(".")[name]
""",
}
_NEEDS = {
    "stablehlo": "It needs JAX alone. Each file is a program with its weights, for CPUs, GPUs and "
    "TPUs.",
    "onnx": "It needs onnxruntime and numpy. Each file is a program with its weights.",
    "safetensors": "It needs this library: `config.json` rebuilds the model, and "
    "`model.safetensors` holds its weights.",
}

_INTO_SUPPORT = {
    Sphere.about: "z /= np.linalg.norm(z, axis=-1, keepdims=True)",
    Ball.about: "z /= 1 + np.linalg.norm(z, axis=-1, keepdims=True)",
}
"""NumPy code that maps Gaussian z onto a latent space, by the description of the space."""


def text(manifest: Manifest) -> str:
    """Return the README of an export, whose code runs in the export's folder."""
    parts = [
        f"# {manifest.model} as {manifest.format}",
        f"{_NEEDS[manifest.format]} The first size of every array but of `temperature`, `batch`, "
        "is free. Before it was written each function was run and compared with the model, for "
        "one example and for three; `export.json` holds the differences, shapes and types.",
        f"```python\n{_START[manifest.format]}```",
        *(_function(manifest.format, name, f) for name, f in manifest.functions.items()),
    ]
    if manifest.left_out:
        left = "\n".join(f"- `{name}`: {why}." for name, why in manifest.left_out.items())
        parts.append(f"## Left out\n\n{left}")
    return "\n\n".join(parts) + "\n"


def _function(kind: str, name: str, info: FunctionInfo) -> str:
    rows = "\n".join(
        f"| {way} | `{t.name}` | {t.dtype} | {_shape(t)} | {t.about} |"
        for way, tensors in (("in", info.inputs), ("out", info.outputs))
        for t in tensors
    )
    arrays = "\n".join(
        line
        for t in info.inputs
        for line in (f"{t.name} = {_drawn(t)}", _INTO_SUPPORT.get(t.about))
        if line is not None
    )
    given = ", ".join(t.name for t in info.inputs)
    outputs = ", ".join(t.name for t in info.outputs)
    # Programs return lists; `load_exported` returns a single array as it is.
    unpacked = outputs if kind == "safetensors" or len(info.outputs) > 1 else f"({outputs},)"
    return (
        f"## {name}\n\nReturns {info.about}.\n\n"
        f"| | name | type | shape | |\n|---|---|---|---|---|\n{rows}\n\n"
        f'```python\n{name} = load("{name}")\n{arrays}\n{unpacked} = {name}({given})\n```'
    )


def _shape(tensor: TensorInfo) -> str:
    return "(" + ", ".join(map(str, tensor.shape)) + ")"


def _drawn(tensor: TensorInfo) -> str:
    """Return code for eight examples of an input."""
    if not tensor.shape:
        return "np.array(1.0, np.float32)"
    sizes = ", ".join("8" if size == "batch" else str(size) for size in tensor.shape)
    sizes = f"({sizes},)" if len(tensor.shape) == 1 else f"({sizes})"
    if tensor.dtype == "int32":
        zeros = f"np.zeros({sizes}, np.int32)"
        return "np.arange(8, dtype=np.int32)" if tensor.name == "seed" else zeros
    normal = tensor.name == "z" or "normal" in tensor.about
    kind = "standard_normal" if normal else "random"
    return f"np.random.default_rng(0).{kind}({sizes}, np.float32)"
