"""Checkpoints of a training state, written by Orbax: atomic, checked, and never pickled."""

import functools
import logging
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from workshop.generative_models.core.parameters import checksum, like_key, raw
from workshop.generative_models.devices.distributed import wait
from workshop.generative_models.training.settings import LENGTH, differences
from workshop.generative_models.training.step import TrainState

_log = logging.getLogger("workshop")
_SINCE = "evaluations_since"
"""What the step after which evaluations count is called in a checkpoint."""


def _no_waiting(record: logging.LogRecord) -> bool:
    return "Waiting for previous save to complete" not in str(record.msg)


class NotWrittenError(OSError):
    """A run's folder cannot be written."""


class Checkpoints:
    """The newest states of a run, in a folder with one numbered folder each.

    All processes of a run take part in writing and reading; a state may be restored onto another
    number of devices than it was saved from.

    Args:
        folder: where they go.
        settings: what must be the same for a run to go on exactly, such as the seed.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self.folder, self.settings = folder, settings
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def metrics(self) -> Path:
        """The metrics file, beside the checkpoints."""
        return self.folder.with_name("metrics.jsonl")

    @functools.cached_property
    def _orbax(self) -> Any:
        # It takes two seconds to import, which a run can do after its first steps.
        import orbax.checkpoint

        # A save waits for the disk on purpose, between two calls of the loop: nothing to warn of.
        logging.getLogger("absl").addFilter(_no_waiting)
        return orbax.checkpoint

    @functools.cached_property
    def _manager(self) -> Any:
        options = self._orbax.CheckpointManagerOptions(max_to_keep=2)
        return self._orbax.CheckpointManager(self.folder.resolve(), options=options)

    @property
    def newest(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        if "_manager" not in vars(self) and not any(self.folder.glob("[0-9]*")):
            return None
        return self._manager.latest_step()

    def save(self, state: TrainState, since: int = 0) -> None:
        """Write a state, and the step after which evaluations count for the best one.

        It counts as saved only when it is whole; a `NotWrittenError` leaves those before untouched.
        """
        step = int(state.step)
        if step == self.newest:
            return
        args = self._orbax.args
        items = args.Composite(
            state=args.StandardSave(_saved(state)),
            settings=args.JsonSave({**self.settings, _SINCE: since}),
            weights=args.JsonSave({"checksum": _weights_checksums(state)}),
        )
        try:
            self._manager.save(step, args=items)
            self._manager.wait_until_finished()
        except Exception as error:  # a full disk raises errors of many types
            raise NotWrittenError(
                f"the checkpoint of step {step} could not be written to {self.folder} "
                f"({_first_line(error)}); {self.last_good()}; make room there and resume"
            ) from error

    def restore(self, like: TrainState) -> tuple[TrainState, int]:
        """Return the newest whole state in the structure and layout of `like`, and its `since`.

        One that is damaged is named in the log and left out, and put aside as STEP.damaged once an
        older one was read in its place.

        Raises:
            ValueError: if none can be read, or the run was started with other settings.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        damaged: list[int] = []
        for step in steps:
            try:
                found = self._read(step, like)
            except _OtherSettings:
                raise
            except Exception as error:  # whatever a damaged file makes its reader raise
                _log.warning(
                    "the checkpoint of step %s in %s cannot be read: %s",
                    step, self.folder, _first_line(error),
                )  # fmt: skip
                damaged.append(step)
                continue
            for other in damaged:
                self._put_aside(other)
            return found
        raise ValueError(
            f"none of the checkpoints in {self.folder} can be read (steps {sorted(steps)}): they "
            "are damaged, or of another model or optimizer; start the run anew in another folder"
        )

    def _put_aside(self, step: int) -> None:
        if jax.process_index() == 0:
            (self.folder / str(step)).rename(self.folder / f"{step}.damaged")
        wait(f"checkpoint {step} is put aside")
        self._manager.reload()

    def last_good(self) -> str:
        """Return words that name the newest checkpoint."""
        if self.newest is None:
            return "there is no checkpoint before it"
        return f"the last good checkpoint is step {self.newest} in {self.folder}"

    def close(self) -> None:
        """Release the folder."""
        if "_manager" in vars(self):
            self._manager.close()

    def _read(self, step: int, like: TrainState) -> tuple[TrainState, int]:
        args = self._orbax.args
        found = self._manager.restore(step, args=args.Composite(settings=args.JsonRestore()))
        other = differences(found["settings"], self.settings)
        if other:
            raise _OtherSettings(
                f"{self.folder} is of a run with {other}: resume it with that, or use another "
                "folder"
            )
        before, now = (settings.get(LENGTH) for settings in (found["settings"], self.settings))
        if None not in (before, now) and before != now:
            _log.warning(
                "the schedule of the learning rate spans %s steps, not %s as before: the run does "
                "not end as one that was never stopped", now, before,
            )  # fmt: skip
        whole = _saved(like)
        target = args.Composite(state=args.StandardRestore(whole))
        parts: Any = dict(self._manager.restore(step, args=target)["state"])
        if int(parts["checksum"]) != int(checksum({**parts, "checksum": None})):
            raise ValueError("its checksum is wrong")
        del parts["checksum"]
        parts["opt_state"] = jax.tree.map(like_key, parts["opt_state"], like.opt_state)
        rest = nnx.merge_state(like.rest, parts.pop("rest"))
        best = parts.pop("best")
        if best is not None and like.best is not None:
            best = (best[0], nnx.merge_state(like.best[1], best[1]))
        since = int(found["settings"].get(_SINCE, 0))
        return TrainState(rest=rest, best=best, **parts), since


class _OtherSettings(ValueError):
    pass


def _saved(state: TrainState) -> dict[str, Any]:
    """Return what of a state is written: the model's own random streams never move in training."""
    parts = state._asdict()
    if state.plateau is None:
        del parts["plateau"]  # as in checkpoints from before there was one
    parts["rest"] = nnx.filter_state(state.rest, nnx.Not(nnx.RngState))
    if state.best is not None:
        parts["best"] = (state.best[0], nnx.filter_state(state.best[1], nnx.Not(nnx.RngState)))
    parts["opt_state"] = jax.tree.map(raw, state.opt_state)  # some optimizers draw noise
    return {**parts, "checksum": checksum(parts)}


def _weights_checksums(state: TrainState) -> dict[str, int]:
    """Return checksums of the parts that `models.restoring` makes a model of, by their names."""
    best = None if state.best is None else nnx.merge_state(*state.best)
    parts = {"params": state.params, "rest": state.rest, "average": state.average, "best": best}
    return {name: int(checksum(_by_path(p))) for name, p in parts.items() if p is not None}


def _by_path(state: nnx.State) -> dict[str, jax.Array]:
    """Return arrays by their dotted path, as `model.safetensors` names them."""
    kept = nnx.to_flat_state(nnx.filter_state(state, nnx.Not(nnx.RngState)))
    return {".".join(map(str, path)): leaf[...] for path, leaf in kept}


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
