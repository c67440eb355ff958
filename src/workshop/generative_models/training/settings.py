"""What determines a run, as JSON, so that a checkpoint can be compared with who resumes it."""

import contextlib
import enum
import functools
import inspect
import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from pydantic import BaseModel

from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.optimizers import optimizer_arguments
from workshop.generative_models.data.reading import Arrays, fingerprint, gather
from workshop.generative_models.training.feeds import fits
from workshop.generative_models.training.job import Job

BLOCKS, _SAMPLED_ROWS, _DEEPEST = 16, 256, 40
"""Parts of an array with a sum each; rows that are read of data that streams; levels described."""
_LONGEST = 200
"""Characters of a text that are kept as they are."""
_MODES = ("deterministic", "use_running_average", "training")
"""Attributes that `train()` and `eval()` set, and that do not determine a run."""
_SCALARS = (bool, int, float, str, type(None))
LENGTH = "optimizer.steps"
"""How many steps a schedule spans, which may change where a run is made longer."""
Settings = dict[str, Any]
"""Numbers, strings and None by dotted names."""


def run_settings(job: Job, data: Arrays, held_out: Arrays | None, *, streams: bool) -> Settings:
    """Return all that determines what a run learns: not how often it logs, or on which devices."""
    options, plan = job.options, job.plan
    learns = ("seed", "batch_size", "average", "keep_best", "plateau_patience", "plateau_factor")
    found: Settings = {name: getattr(options, name) for name in learns}
    found |= {"examples": len(data["x"]), "data": fingerprint(data)}
    found |= data_settings("data", data, streams=streams)
    decide = options.keep_best or options.plateau_patience is not None
    if held_out is not None and decide:  # evaluations do
        found |= {"monitor": options.monitor, "evaluate_every": options.evaluate_every}
        found |= data_settings("validation", held_out, streams=not fits(held_out))
    found |= optimizer_settings(plan.optimizer) | model_settings(job.model)
    if plan.critic_optimizer is not None:
        of_critic = optimizer_settings(plan.critic_optimizer)
        found |= {f"critic_{name}": value for name, value in of_critic.items()}
    return found


def model_settings(model: GenerativeModel) -> Settings:
    """Return a model's configuration, the attributes of its modules, and shapes of variables."""
    found: Settings = {"model": type(model).__name__}
    if model.config is not None:
        found |= flat("config", described(model.config))
    for path, module in nnx.iter_modules(model):
        prefix = ".".join(["model", *map(str, path)])
        found[f"{prefix}.type"] = type(module).__name__
        for name, value in vars(module).items():
            if isinstance(value, nnx.Variable):
                if not isinstance(value, nnx.RngState):
                    found[f"{prefix}.{name}"] = f"{value[...].dtype} {tuple(value[...].shape)}"
            elif not (
                name.startswith("_") or name in (*_MODES, "config") or isinstance(value, nnx.Pytree)
            ):
                found |= flat(f"{prefix}.{name}", described(value))
    return found


def optimizer_settings(optimizer: optax.GradientTransformation) -> Settings:
    """Return the arguments of `create_optimizer`; of any other optimizer, what its functions hold.

    The latter depends on optax' version, which is a part of the names.
    """
    arguments = dict(optimizer_arguments(optimizer))
    if arguments.get("schedule") == "constant":
        arguments.pop("steps", None)  # which only a schedule reads
    if arguments:
        return {"optimizer": "create_optimizer", **flat("optimizer", described(arguments))}
    inside = f"optimizer (optax {optax.__version__})"
    return {"optimizer": "another", **flat(inside, described(optimizer._asdict()))}


def data_settings(name: str, data: Arrays, *, streams: bool) -> Settings:
    """Return sums over data, that a change of any value changes; of some rows if it streams."""
    found: Settings = {}
    for key, array in data.items():
        found[f"{name}.{key}"] = f"{np.dtype(array.dtype)} {tuple(array.shape)}"
        examples = len(array)
        rows = np.linspace(0, examples - 1, min(examples, _SAMPLED_ROWS)).astype(np.int32)
        found[f"{name}.{key}, some rows"] = _sum(gather(array, rows))
        if streams:
            continue
        edges = np.linspace(0, examples, min(BLOCKS, examples) + 1).astype(int)
        for first, last in itertools.pairwise(edges):
            found[f"{name}.{key}[{first}:{last}]"] = _sum(array[first:last])
    return found


def differences(saved: Mapping[str, Any], now: Settings, most: int = 3) -> str:
    """Return the settings that differ, by name with both values; what one lacks is not compared."""
    # A configuration and the module that was built from it may both hold the same field.
    found = {
        (name.rpartition(".")[2], str(saved[name]), str(now[name])): name
        for name in reversed(now)
        if name in saved and saved[name] != now[name] and not name.endswith(LENGTH)
    }
    other = [
        f"{name}={_short(saved[name])}, not {_short(now[name])}"
        for name in now
        if name in found.values()
    ]
    more = f"; and {len(other) - most} more" if len(other) > most else ""
    return "; ".join(other[:most]) + more


def described(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Return a value as nested dicts of strings and numbers, the same in every process.

    Functions are described by their name and by what they close over, where optax keeps settings.
    The objects `above` hold the value: it ends where one holds itself.
    """
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]}... {_sum(np.array(value))}"
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return _array(value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (type, np.dtype)):
        return value.__name__ if isinstance(value, type) else value.name
    if id(value) in above or len(above) > _DEEPEST:
        return type(value).__name__
    deeper = functools.partial(described, above=(*above, id(value)))
    if isinstance(value, BaseModel):
        fields = set(type(value).model_fields) - {"name", "description"}  # a user's own notes
        return {name: deeper(getattr(value, name)) for name in sorted(fields)}
    if isinstance(value, Mapping):
        return {str(name): deeper(v) for name, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return " ".join(sorted(map(str, value)))
    if isinstance(value, (list, tuple)):
        if all(isinstance(v, _SCALARS) for v in value):
            return deeper(str(tuple(value)))
        names = getattr(value, "_fields", range(len(value)))
        parts = {str(name): deeper(v) for name, v in zip(names, value, strict=True)}
        return {"length": len(value), **parts}
    return _called(value, deeper)


def flat(name: str, value: Any) -> Settings:
    """Return nested dicts as one, its names joined by dots."""
    if not isinstance(value, dict):
        return {name: value}
    parts = (flat(f"{name}.{key}" if key else name, part) for key, part in value.items())
    return {name: leaf for part in parts for name, leaf in part.items()}


def _called(value: Any, deeper: Callable[[Any], Any]) -> Any:
    """Describe a function, or any other object by its attributes."""
    if isinstance(value, functools.partial):
        return {"": deeper(value.func), "arguments": deeper([*value.args, value.keywords])}
    if inspect.ismethod(value):
        return {"": value.__name__, "of": deeper(value.__self__)}
    if hasattr(value, "__wrapped__"):
        return deeper(value.__wrapped__)
    if inspect.isfunction(value):
        plain = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        plain += [c for c in value.__code__.co_consts if isinstance(c, float)]
        numbers = [v for v in plain if isinstance(v, (int, float, str))]
        parts = {name: deeper(part) for name, part in _closed_over(value)}
        named = {"": value.__qualname__.replace(".<locals>", "")}
        return named | parts | ({"numbers": deeper(numbers)} if numbers else {})
    named = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if named is not None:
        return str(named)
    attributes = {k: v for k, v in getattr(value, "__dict__", {}).items() if k != "__doc__"}
    return {"": type(value).__name__, **{k: deeper(v) for k, v in attributes.items()}}


def _closed_over(function: Any) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # a cell that is not filled
            yield name, cell.cell_contents


def _array(value: Any) -> Any:
    if not getattr(value, "is_fully_addressable", True):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype.hasobject:
        return described(array.tolist())
    if array.ndim == 0 and array.dtype.kind in "biuf":
        return described(array.item())
    return f"{array.dtype} {array.shape} {_sum(array)}"


def _sum(array: Any) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(array).tobytes()):08x}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
