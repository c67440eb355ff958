"""The model of a run folder: of its end, or of its newest checkpoint if that is newer.

`training.checkpoint` writes the checkpoints.
"""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from safetensors.numpy import save_file

from workshop.generative_models.core.files import CONFIG_FILE, read_config
from workshop.generative_models.core.parameters import checksum
from workshop.generative_models.models.saving import load_model, weights_step
from workshop.generative_models.models.weights import WEIGHTS_FILE

Model = TypeVar("Model")
_log = logging.getLogger("workshop")


def load_run(folder: str | Path, kind: type[Model] | None = None) -> Model:
    """Return the newest model of a run folder, of class `kind` if that is given.

    That is `model.safetensors`, unless there is a newer checkpoint, because the run was stopped,
    was resumed, or still trains. The log then says which step the model is of. A checkpoint that is
    damaged is named in the log, and the one before it is read.
    """
    folder = Path(folder)
    for step in _newer_checkpoints(folder):
        try:
            weights = _read_weights(folder, step)
        except Exception as error:  # whatever a damaged file makes its reader raise
            _log.warning("the checkpoint of step %s in %s cannot be read: %s", step, folder, error)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / WEIGHTS_FILE
            save_file(weights, file)
            model = load_model(folder, kind, weights=file)
        _log.warning(
            "%s: the model is that of the checkpoint of %s", folder, _progress(folder, step)
        )
        return model
    return load_model(folder, kind)


def unfinished(folder: str | Path) -> str | None:
    """Return which checkpoint `load_run` reads, such as "step 40 of 100"; None if it reads none."""
    steps = _newer_checkpoints(Path(folder))
    return _progress(Path(folder), steps[0]) if steps else None


def checkpoint_steps(folder: Path) -> list[int]:
    """Return the steps of a run's checkpoints, in no order."""
    return [int(p.name) for p in folder.glob("checkpoints/[0-9]*") if p.name.isdigit()]


def _newer_checkpoints(folder: Path) -> list[int]:
    """Return the steps of checkpoints that are newer than the saved model, the newest first."""
    saved = weights_step(folder)
    if not (folder / CONFIG_FILE).is_file():
        return []
    return sorted((step for step in checkpoint_steps(folder) if step > saved), reverse=True)


def _progress(folder: Path, step: int) -> str:
    steps = read_config(folder).get("training", {}).get("steps")
    return f"step {step:,}" + (f" of {steps:,}" if isinstance(steps, int) else "")


def _read_weights(folder: Path, step: int) -> dict[str, np.ndarray]:
    """Return the arrays that the trainer would leave in the model at a checkpoint."""
    saved = folder / "checkpoints" / str(step)
    parts = _restore(saved / "state", ("params", "rest", "average", "best"))
    sums = _json_of(saved / "weights")["checksum"]
    since = int(_json_of(saved / "settings").get("evaluations_since", 0))
    chosen: dict[str, Any] = {"params": parts["params"], "rest": parts["rest"]}
    if parts.get("average") is not None:
        chosen = {"average": parts["average"], "rest": parts["rest"]}
    if parts.get("best") is not None and _was_evaluated(folder, since, step):
        chosen = {"best": _merged(*parts["best"])}
    arrays: dict[str, np.ndarray] = {}
    for name, tree in chosen.items():
        found = _by_path(tree)
        if int(checksum(found)) != sums[name]:
            raise ValueError(f"its checksum is wrong ({name})")
        arrays |= found
    return arrays


def _json_of(part: Path) -> dict[str, Any]:
    """Return what a part of a checkpoint holds, if that is JSON."""
    return json.loads((part / "metadata").read_text(encoding="utf-8"))


def _was_evaluated(folder: Path, since: int, step: int) -> bool:
    """Say whether there was an evaluation between two steps: before it there is no best model."""
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("\n")]
    return any(row["split"] == "validation" and since < row["step"] <= step for row in rows)


def _restore(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Return some parts of a saved state, as NumPy arrays in nested dicts."""
    import orbax.checkpoint as orbax

    # A part of a checkpoint has no metadata of its own; the reader would warn of that.
    logging.getLogger("absl").addFilter(_not_about_metadata)
    path = path.resolve()
    with orbax.PyTreeCheckpointer() as reader:
        tree: Any = reader.metadata(path)
        tree = getattr(tree, "item_metadata", tree)
        tree = getattr(tree, "tree", tree)
        wanted = {name: tree[name] for name in names if tree.get(name) is not None}
        as_numpy = jax.tree.map(lambda _: orbax.RestoreArgs(restore_type=np.ndarray), wanted)
        return reader.restore(
            path,
            args=orbax.args.PyTreeRestore(item=wanted, restore_args=as_numpy, partial_restore=True),
        )


def _not_about_metadata(record: logging.LogRecord) -> bool:
    return "Metadata file does not exist" not in str(record.msg)


def _merged(one: Any, other: Any) -> Any:
    """Return two trees of nested dicts as one."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    both = {name: _merged(one[name], other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **both}


def _by_path(tree: Any) -> dict[str, np.ndarray]:
    """Return arrays of nested dicts by their dotted path, as `model.safetensors` names them."""
    return {
        # Orbax writes a variable as a dict of its value.
        ".".join(str(key.key) for key in path).removesuffix(".value"): np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(tree)
    }
