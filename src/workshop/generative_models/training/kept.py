"""What a trainer keeps from one call of `fit` to the next."""

import logging
import weakref
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.tracking.callbacks import Row
from workshop.generative_models.tracking.loggers import read_rows
from workshop.generative_models.training.checkpoint import Checkpoints
from workshop.generative_models.training.step import TrainState

_log = logging.getLogger("workshop")
LEARNED = nnx.Not(nnx.RngState)
"""Filter for what training changes: a model's own random streams it leaves alone."""


class Begin(NamedTuple):
    """Where a call of `fit` begins: its state, and the metrics so far."""

    state: TrainState
    rows: list[Row]
    since: int = 0
    """The step after which evaluations count for the best one."""


class Kept(NamedTuple):
    """The end of a call of `fit`: all that the next one needs beside the model's variables."""

    model: GenerativeModel
    left: list[weakref.ref]
    """The model's arrays as `fit` left them, to tell whether somebody changed them since."""
    state: TrainState
    """Without those parts that the model itself holds."""
    rows: list[Row]
    since: int

    def changed(self) -> bool:
        """Say whether the model's variables are others than `fit` left in it."""
        arrays = _arrays(self.model)
        same = (ref() is a for ref, a in zip(self.left, arrays, strict=False))
        return len(arrays) != len(self.left) or not all(same)

    def continued(self, fresh: TrainState) -> Begin:
        """Return copies to continue with, given a state that starts with the model's variables."""
        state = jax.tree.map(jnp.copy, self.state)  # the loop takes the arrays that it is given
        _check_fits(state, fresh)
        same_metrics = state.sums.keys() == fresh.sums.keys()
        begun = fresh._replace(
            step=state.step,
            opt_state=state.opt_state,
            sums=state.sums if same_metrics else fresh.sums,
            skipped=state.skipped,
            plateau=state.plateau,
        )
        if self.changed():
            _log.info(
                "the model's variables were changed since the last fit: training continues from "
                "them, and averages and the best evaluation start anew"
            )
            if begun.plateau is not None:
                anew = {n: getattr(fresh.plateau, n) for n in ("best_value", "plateau_count")}
                begun = begun._replace(plateau=begun.plateau._replace(**anew))
            return Begin(begun, self.rows, int(state.step))
        if state.params is not None:
            begun = begun._replace(params=state.params)
        if state.rest is not None:
            begun = begun._replace(rest=nnx.merge_state(fresh.rest, state.rest))
        if state.average is not None and fresh.average is not None:
            begun = begun._replace(average=state.average)
        return Begin(begun, self.rows, self.since)


def begin(
    model: GenerativeModel,
    fresh: TrainState,
    kept: Kept | None,
    checkpoints: Checkpoints | None,
    *,
    resume: bool,
) -> Begin:
    """Return where to begin: at the start, after the last call of `fit`, or at a checkpoint.

    Raises:
        FileExistsError: if the folder holds a run that is not to be resumed.
        ValueError: if the run to resume has other settings, or the optimizer does not fit.
    """
    newest = None if checkpoints is None else checkpoints.newest
    if resume and checkpoints is not None and newest is not None:
        state, since = checkpoints.restore(fresh)
        rows = [row for row in read_rows(checkpoints.metrics) if row["step"] <= int(state.step)]
        return Begin(state, rows, since)
    if kept is not None and kept.model is not model:
        _log.warning("the trainer has another model than in the last fit: training starts over")
        kept = None
    start = Begin(fresh, []) if kept is None else kept.continued(fresh)
    if checkpoints is not None and newest is not None:
        done = int(start.state.step)
        if kept is None or newest > done:
            here = "" if kept is None else f", and this trainer is at step {done}"
            raise FileExistsError(
                f"{checkpoints.folder} holds a run at step {newest}{here}: pass resume=True to go "
                "on with that run, or choose another folder"
            )
    return start


def keep(
    model: GenerativeModel, state: TrainState, rows: list[Row], since: int, *, best: bool
) -> Kept:
    """Return what to keep, once the model holds its last weights, or its `best` ones."""
    # What the model holds is not kept a second time.
    if best:
        rest = nnx.filter_state(state.rest, LEARNED)
        state = state._replace(rest=rest, best=None)
    elif state.average is not None:
        state = state._replace(rest=None, best=None, average=None)
    else:
        state = state._replace(params=None, rest=None, best=None)
    return Kept(model, [weakref.ref(a) for a in _arrays(model)], state, rows, since)


def _arrays(model: GenerativeModel) -> list[jax.Array]:
    return jax.tree.leaves(nnx.state(model, LEARNED))


def _check_fits(state: TrainState, fresh: TrainState) -> None:
    found, expected = (
        {jax.tree_util.keystr(path): np.shape(a) for path, a in jax.tree.leaves_with_path(tree)}
        for tree in (state.opt_state, fresh.opt_state)
    )
    other = sorted(name for name in found | expected if found.get(name) != expected.get(name))
    if other:
        raise ValueError(
            "the model's parameters have other names or shapes than in the last fit, so that "
            f"training cannot continue (the optimizer's state differs at {other[0]}): make a new "
            "Trainer to start over"
        )
