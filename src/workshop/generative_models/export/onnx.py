"""Functions as ONNX, by jax2onnx."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.extend
import numpy as np
from jax import export

from ..core.checks import optional
from .functions import BATCH, Function
from .simplified import simplified

SUFFIX = ".onnx"
_OPSET = 21
"""Of ONNX 1.16 (2024), which most runtimes know."""
_TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32"}


def write(function: Function, path: Path) -> None:
    """Write a function with a free number of examples."""
    (batch,) = export.symbolic_shape(BATCH)
    inputs = [tensor.of(batch) for tensor in function.inputs]
    program = simplified(function.of_each, inputs)
    with _quietly():
        jax2onnx = optional("jax2onnx", "onnx", "exporting to ONNX")
        try:
            model = jax2onnx.to_onnx(
                jax.extend.core.jaxpr_as_fun(program),
                inputs,
                model_name=function.name,
                opset=_OPSET,
                input_names=[tensor.name for tensor in function.inputs],
                output_names=list(function.outputs),
            )
            _drop_unread(model.graph)
            path.write_bytes(model.SerializeToString())
            read(path)
        except Exception as error:  # whatever a converter trips over, or a runtime refuses
            raise ValueError(_refusal(function.name, program, error)) from error


def read(path: Path) -> tuple[Callable[..., Any], list[Any], list[Any]]:
    """Return a function, and the shapes and types of its inputs and outputs."""
    runtime = optional("onnxruntime", "onnx", "running ONNX")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    try:
        session = runtime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has a dozen kinds
        raise ValueError(f"{path} is no program that onnxruntime can run: {error}") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = [given.name for given in inputs]

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        return session.run(None, dict(zip(names, arrays, strict=True)))

    return run, list(map(_like, inputs)), list(map(_like, outputs))


def _drop_unread(graph: Any) -> None:
    """Leave out constants that no node reads, of which runtimes warn whoever loads the file."""
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        return  # a loop or a branch may read them
    read = {name for node in graph.node for name in node.input}
    read.update(output.name for output in graph.output)
    kept = [constant for constant in graph.initializer if constant.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _like(value: Any) -> SimpleNamespace:
    return SimpleNamespace(shape=tuple(value.shape), dtype=_TYPES.get(value.type, value.type))


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what jax2onnx logs to itself: it tells of its own plugins, and raises what matters."""
    loggers = [logging.getLogger(name) for name in ("jax2onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _refusal(name: str, program: Any, error: Exception) -> str:
    """Say which function and which primitive cannot be written."""
    found = re.search(r"primitive '(\w+)'", str(error))
    primitives = sorted({equation.primitive.name for equation in program.jaxpr.eqns})
    what = f"the primitive {found[1]}" if found else f"one of its primitives {primitives}"
    return (
        f"{name} cannot be exported to ONNX: jax2onnx cannot write {what} ({error}); "
        "export to stablehlo, which holds every model"
    )
