"""A run of the trainer: what the host does between two calls of the compiled loop."""

import math
import time
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils

from workshop.generative_models.data.reading import Arrays, gather
from workshop.generative_models.devices.signals import Stopped, StopSignals
from workshop.generative_models.tracking.callbacks import Row
from workshop.generative_models.tracking.loggers import History, ProgressBar
from workshop.generative_models.training.checkpoint import Checkpoints
from workshop.generative_models.training.failures import first_not_finite, not_finite_parameter
from workshop.generative_models.training.feeds import Resident, Streamed, to_device
from workshop.generative_models.training.step import TrainState, train_steps

if TYPE_CHECKING:
    from workshop.generative_models.training.trainer import Trainer

SECONDS_A_CALL, STEPS_A_CALL, MOST_SECONDS_A_CALL = 0.25, 16, 5.0
"""How long a call should take, and how many slow steps: to each call all its memory is new, which
on the CPU costs a third of a step."""
SECONDS_A_CHECKPOINT = 20.0
"""How much work may be lost, where no interval in steps is given."""


class Run:
    """One call of `Trainer.fit`, from the state to begin with to the last step.

    Args:
        trainer: the settings.
        graphdef: the model's structure.
        state: where to begin.
        data: the training examples, on the host, to say which of them a failing batch held.
        feed: the same, as batches.
        held_out: the validation examples.
        steps: the last step.
        checkpoints: where states go.
    """

    def __init__(
        self,
        trainer: "Trainer",
        graphdef: nnx.GraphDef,
        state: TrainState,
        data: Arrays,
        feed: Resident | Streamed,
        held_out: Arrays | None,
        steps: int,
        checkpoints: Checkpoints | None,
    ):
        self.trainer, self.graphdef, self.state = trainer, graphdef, state
        self.data, self.feed, self.held_out = data, feed, held_out
        self.steps, self.checkpoints = steps, checkpoints
        self.done, self.skipped = int(state.step), int(state.skipped)
        # Of several processes only the first one writes.
        path = None if trainer.folder is None else trainer.folder / "metrics.jsonl"
        self.rows = History(path, self.done, trainer.callbacks, write=jax.process_index() == 0)
        self.seed = jnp.asarray(trainer.seed)
        self.every = {"log": trainer.log_every}
        if held_out is not None:
            self.every["evaluate"] = trainer.evaluate_every or max(steps // 10, 1)
        if trainer.checkpoint_every is not None:
            self.every["save"] = trainer.checkpoint_every
        self.per_call, self.saved_at, self.out_of_patience = 1, time.monotonic(), False
        self.means: dict[str, float] = {}

    def go(self, bar: ProgressBar, signals: StopSignals) -> list[Row]:
        """Train to the last step, or until patience or a signal ends it.

        Raises:
            FloatingPointError: if a loss or gradient is not finite and such updates are not to be
                left out.
            Stopped: after SIGINT or SIGTERM, once a checkpoint is written.
        """
        self.out_of_patience = self._patience_is_over()
        while self.done < self.steps and not self.out_of_patience:
            self._advance(bar)
            if self._due("log"):
                self._log()
            if self.held_out is not None and self._due("evaluate"):
                self._evaluate()
            late = time.monotonic() - self.saved_at > SECONDS_A_CHECKPOINT
            late, stop = self._agree(late and "save" not in self.every, signals.received or 0)
            if stop or late or self.out_of_patience or self._due("save"):
                self._save()
            if stop:
                raise Stopped(stop, self.done, self._farewell())
        return self.rows.all

    def _save(self) -> None:
        """Write a checkpoint, if there is a folder; never one that could not go on."""
        culprit = not_finite_parameter(self.state.params)
        if culprit is not None:
            raise FloatingPointError(
                f"step {self.done}: the update made the parameter {culprit} not finite"
                f"{self._advice()}"
            )
        if self.checkpoints is not None:
            self.checkpoints.save(self.state)
        self.saved_at = time.monotonic()

    def _due(self, event: str) -> bool:
        last = self.done == self.steps
        return last or (event in self.every and self.done % self.every[event] == 0)

    def _advance(self, bar: ProgressBar) -> None:
        """Call the compiled loop once, up to the next event at the most."""
        next_event = min((self.done // every + 1) * every for every in self.every.values())
        most = min(next_event, self.steps) - self.done
        feed, count = self.feed.take(self.done, min(most, self._agree(self.per_call)[0]))
        started = time.perf_counter()
        self.state = train_steps(
            self.graphdef, self.trainer.plan, self.state, feed, jnp.asarray(count), self.seed
        )
        step, failed, skipped, sums = jax.device_get(
            (self.state.step, self.state.failed, self.state.skipped, self.state.sums)
        )
        if skipped > self.skipped and not self.trainer.plan.skip:
            raise FloatingPointError(self._failure(int(failed)))
        self.done, self.skipped = int(step), int(skipped)
        taken = float(sums.pop("count")) or math.nan  # of steps that were all left out, no mean
        self.means = {name: float(total) / taken for name, total in sums.items()}
        if self.trainer.plan.skip:
            self.means["skipped"] = float(skipped)
        bar.update(self.done, self.means)
        self.per_call = _next_count(self.per_call, count, time.perf_counter() - started)

    def _log(self) -> None:
        self._record("train", self.means)
        self.state = self.state._replace(sums=jax.tree.map(jnp.zeros_like, self.state.sums))

    def _evaluate(self) -> None:
        assert self.held_out is not None
        trainer, state = self.trainer, self.state
        metrics = trainer.metrics(self.graphdef, state.weights, state.rest, self.held_out)
        self._record("validation", metrics)
        if state.best is not None and self._stale() == 0:
            best = jax.tree.map(jnp.copy, (state.weights, state.rest))
            self.state = state._replace(best=best)
        self.out_of_patience = self._patience_is_over()
        if trainer.callbacks:
            # Copies of their own: the next call of the loop takes the state's arrays.
            weights, rest = jax.tree.map(
                jnp.copy, trainer.at_hand((self.state.weights, self.state.rest))
            )
            model = nnx.merge(self.graphdef, weights, rest, copy=True)
            for callback in trainer.callbacks:
                callback.on_evaluation(self.done, model)

    def _record(self, split: str, metrics: dict[str, float]) -> None:
        try:
            self.rows.add(self.done, split, metrics)
        except OSError as error:
            raise OSError(
                f"the metrics of step {self.done} could not be written to {self.trainer.folder} "
                f"({error}){self._last_good()}; make room there and resume"
            ) from error

    def _stale(self) -> int:
        """Return how many evaluations ago the best one was, a function of the rows alone."""
        monitor = self.trainer.monitor
        values = [r[monitor] for r in self.rows.all if r["split"] == "validation"]
        sign = -1.0 if monitor in LARGER_IS_BETTER else 1.0
        scores = [math.inf if math.isnan(v) else sign * v for v in values]
        return len(scores) - 1 - scores.index(min(scores)) if scores else 0

    def _patience_is_over(self) -> bool:
        patience = self.trainer.patience
        return patience is not None and self._stale() >= patience

    def _agree(self, *values: float) -> tuple[int, ...]:
        """Return the largest of each value over all processes: all must take the same way."""
        if jax.process_count() == 1:
            return tuple(int(v) for v in values)
        found = multihost_utils.process_allgather(np.asarray(values, np.int32))
        return tuple(int(v) for v in np.asarray(found).reshape(-1, len(values)).max(0))

    def _farewell(self) -> str:
        where = "" if self.checkpoints is None else f", saved in {self.checkpoints.folder}"
        return f"stopped at step {self.done:,} of {self.steps:,}{where}"

    def _failure(self, step: int) -> str:
        indices = self.feed.order.batches(step, 1)[0]
        batch = {name: gather(a, indices) for name, a in self.data.items()}
        batch = to_device(batch, self.trainer.layout)
        culprit = first_not_finite(self.graphdef, self.state, batch, self.seed)
        return (
            f"step {step}: {culprit or 'the norm of the gradient'} is not finite, for the training "
            f"examples {' '.join(map(str, indices))}{self._advice()}, or leave such updates out "
            "(nonfinite='skip')"
        )

    def _advice(self) -> str:
        return f"{self._last_good()}. Lower the learning rate, clip gradients (clip_norm)"

    def _last_good(self) -> str:
        return "" if self.checkpoints is None else f"; {self.checkpoints.last_good()}"


LARGER_IS_BETTER = frozenset({"elbo", "perplexity", "codes_used"})
"""Metrics of which a validation wants the largest; of all others, the smallest."""


def _next_count(per_call: int, count: int, seconds: float) -> int:
    """Return how many steps the next call should take, growing at most tenfold at a time.

    A first call is mostly compilation, so it says little about speed.
    """
    speed = count / max(seconds, 1e-6)
    wanted = max(SECONDS_A_CALL * speed, min(STEPS_A_CALL, MOST_SECONDS_A_CALL * speed))
    return max(1, min(int(wanted), 10 * per_call))
