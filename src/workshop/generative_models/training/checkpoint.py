"""Checkpoints of a training state, written by Orbax: atomic, and never pickled."""

from pathlib import Path
from typing import Any

import jax
from flax import nnx

from workshop.generative_models.training.step import TrainState


class Checkpoints:
    """The newest states of a run, in a folder with one numbered folder each.

    Args:
        folder: where they go.
        keep: how many are kept.
    """

    def __init__(self, folder: Path, keep: int = 2):
        # Orbax takes two seconds to import: only runs that save pay for it.
        import orbax.checkpoint as ocp

        self._orbax = ocp
        self._manager = ocp.CheckpointManager(
            folder.resolve(), options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        )

    @property
    def newest(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Write a state; it counts as saved only when it is whole."""
        step = int(state.step)
        if step == self.newest:
            return
        self._manager.save(step, args=self._orbax.args.StandardSave(_saved(state)))
        self._manager.wait_until_finished()

    def restore(self, like: TrainState) -> TrainState:
        """Return the newest state, in the structure of `like`."""
        target = self._orbax.args.StandardRestore(_saved(like))
        restored: Any = self._manager.restore(self.newest, args=target)
        rest = nnx.merge_state(like.rest, restored.pop("rest"))
        return TrainState(rest=rest, **restored)

    def close(self) -> None:
        """Release the folder."""
        self._manager.close()


def _saved(state: TrainState) -> dict[str, Any]:
    """Return what of a state is written: the model's own random streams never move in training."""
    parts = state._asdict()
    parts["rest"] = jax.tree.map(lambda x: x, nnx.filter_state(state.rest, nnx.Not(nnx.RngState)))
    return parts
