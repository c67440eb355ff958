"""A run of the trainer: what the host does between two calls of the compiled loop."""

import logging
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils

from workshop.generative_models.core.pace import next_count
from workshop.generative_models.core.parameters import not_finite_parameter
from workshop.generative_models.data.reading import Arrays, gather
from workshop.generative_models.devices.signals import Stopped, StopSignals
from workshop.generative_models.tracking.callbacks import Callbacks, Row
from workshop.generative_models.tracking.loggers import History, ProgressBar
from workshop.generative_models.training.checkpoint import Checkpoints, NotWrittenError
from workshop.generative_models.training.failures import NotFiniteError, first_not_finite
from workshop.generative_models.training.feeds import Resident, Streamed, to_device
from workshop.generative_models.training.job import Job
from workshop.generative_models.training.kept import Begin
from workshop.generative_models.training.step import evaluated, train_steps

_log = logging.getLogger("workshop")
_STEPS_A_CALL, _MOST_SECONDS_A_CALL = 16, 5.0
"""How many slow steps a call takes: to each call all its memory is new, which on the CPU costs a
third of a step."""
_SECONDS_A_CHECKPOINT = 20.0
"""How much work may be lost, where no interval in steps is given."""


class Run:
    """One call of `Trainer.fit`, from the state it begins with to its last step.

    `data` are the training examples on the host, to say which of them a failing batch held, and
    `feed` the same as batches; `held_out` are the validation examples.
    """

    def __init__(
        self,
        job: Job,
        graphdef: nnx.GraphDef,
        begin: Begin,
        data: Arrays,
        feed: Resident | Streamed,
        held_out: Arrays | None,
        steps: int,
        evaluate_every: int,
        checkpoints: Checkpoints | None,
    ):
        self.job, self.graphdef, self.state, self.since = job, graphdef, begin.state, begin.since
        self.data, self.feed, self.held_out = data, feed, held_out
        self.steps, self.checkpoints = steps, checkpoints
        self.begun = self.done = int(self.state.step)
        self.skipped_before = self.skipped = int(self.state.skipped)
        # Of several processes only the first one writes.
        path = checkpoints.metrics if checkpoints and jax.process_index() == 0 else None
        self.callbacks = Callbacks(job.callbacks)
        self.rows = History(path, begin.rows, self.callbacks)
        self.options = job.options
        self.seed, self.num_examples = jnp.asarray(job.options.seed), jnp.asarray(len(data["x"]))
        self.every = {"log": job.options.log_every}
        if held_out is not None:
            self.every["evaluate"] = evaluate_every
        if job.options.checkpoint_every is not None:
            self.every["save"] = job.options.checkpoint_every
        self.per_call, self.saved_at = 1, time.monotonic()
        self.ended = self._patience_is_over()
        if self.ended:
            _log.warning(
                "patience=%s: the run ended at step %s already, and takes no further step",
                job.options.patience, self.done,
            )  # fmt: skip
        self.means: dict[str, float] = {}
        self.warned = False
        self.keeps = True
        """Whether the model is to receive what was learned."""

    def go(self, bar: ProgressBar, signals: StopSignals) -> list[Row]:
        """Train to the last step, or until patience, a callback or a signal ends it."""
        try:
            if self._misses_an_evaluation():
                self._evaluate()
            self.ended = self.ended or self.callbacks.stop is not None
            while self.done < self.steps and not self.ended:
                self._step(bar, signals)
        except NotFiniteError:
            self.keeps = False
            raise
        except (Exception, SystemExit) as error:
            error.add_note(self._rescue(error))
            raise
        return [dict(row) for row in self.rows.all]

    def _step(self, bar: ProgressBar, signals: StopSignals) -> None:
        """Call the compiled loop once, and do what is due after it."""
        self._advance(bar)
        if self._due("log"):
            self._log()
        if self.held_out is not None and self._due("evaluate"):
            self._evaluate()
        late = "save" not in self.every and time.monotonic() - self.saved_at > _SECONDS_A_CHECKPOINT
        late, stop, ended, failed = self._agree(
            late,
            signals.received or 0,
            self.ended or self.callbacks.stop is not None,
            self.callbacks.error is not None,
        )
        self.ended = bool(ended)
        if self.callbacks.stop is not None:
            _log.info("a callback ended training at step %s: %s", self.done, self.callbacks.stop)
        if failed:
            raise self.callbacks.error or _FailedElsewhereError("a callback of another process")
        if stop or late or ended or self._due("save"):
            self._save()
        if stop:
            raise Stopped(stop, self.done, self._farewell())

    def _rescue(self, error: BaseException) -> str:
        """Save what was learned before an exception, and return a note for it that says so."""
        where = f"training ended at step {self.done:,} of {self.steps:,}"
        state = (self.state.weights, self.state.rest, self.state.opt_state)
        together = isinstance(error, _FailedElsewhereError) or error is self.callbacks.error
        lost = (jax.process_count() > 1 and not together) or any(
            leaf.is_deleted() for leaf in jax.tree.leaves(state)
        )
        if lost or not_finite_parameter(self.state.params) is not None:
            self.keeps = False
            return f"{where}; what this call of fit had learned is lost{self._last_good()}"
        kept = f"{where}; the model holds what was learned until then"
        # A checkpoint without its row in the metrics file could not continue exactly.
        if self.checkpoints is None or self.done == 0 or isinstance(error, NotWrittenError):
            return kept
        try:
            self.checkpoints.save(self.state, self.since)
        except NotWrittenError as full:
            return f"{kept}, but {full}"
        return f"{kept}, and so does the checkpoint in {self.checkpoints.folder}"

    def _save(self) -> None:
        """Write a checkpoint, if there is a folder; never one that could not go on."""
        culprit = not_finite_parameter(self.state.params)
        if culprit is not None:
            raise NotFiniteError(
                f"step {self.done}: the update made the parameter {culprit} not finite"
                f"{self._advice(self.done)}"
            )
        if self.checkpoints is not None:
            self.checkpoints.save(self.state, self.since)
        self.saved_at = time.monotonic()

    def _misses_an_evaluation(self) -> bool:
        """Say whether the run was interrupted between a step and the evaluation due after it."""
        if self.held_out is None or not 0 < self.done < self.steps or not self._due("evaluate"):
            return False
        here = [row["split"] for row in self.rows.all if row["step"] == self.done]
        return "validation" not in here

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
            self.graphdef, self.job.plan, self.state, feed, jnp.asarray(count), self.seed,
            self.num_examples,
        )  # fmt: skip
        state = self.state
        scale = None if state.plateau is None else state.plateau.scale
        step, failed, skipped, sums, scale = jax.device_get(
            (state.step, state.failed, state.skipped, state.sums, scale)
        )
        if skipped > self.skipped and not self.job.plan.skip:
            raise NotFiniteError(
                f"{self._culprit(int(failed))}{self._advice(int(failed))}, or leave such updates "
                "out (nonfinite='skip')"
            )
        self.done, self.skipped = int(step), int(skipped)
        taken = float(sums.pop("count")) or math.nan  # of steps that were all left out, no mean
        self.means = {name: float(total) / taken for name, total in sums.items()}
        if self.job.plan.skip:
            self.means["skipped"] = float(skipped)
        if scale is not None:
            self.means["learning_rate_scale"] = float(scale)
        bar.update(self.done, self.means)
        self.per_call = next_count(
            self.per_call, count, time.perf_counter() - started,
            few=_STEPS_A_CALL, longest=_MOST_SECONDS_A_CALL,
        )  # fmt: skip

    def _log(self) -> None:
        self._refuse_a_run_of_skipped_updates()
        # Before callbacks, one of which may be interrupted: the next row begins after this one.
        self.state = self.state._replace(sums=jax.tree.map(jnp.zeros_like, self.state.sums))
        self._record("train", self.means)
        if math.isnan(next(iter(self.means.values()), 0.0)) and not self.warned:
            self.warned = True
            _log.warning(
                "step %s: all updates since the last row were left out (nonfinite='skip'); if that "
                "goes on, nothing more is learned", self.done,
            )  # fmt: skip

    def _refuse_a_run_of_skipped_updates(self) -> None:
        taken = self.done - self.begun
        epoch = taken * self.options.batch_size >= len(self.data["x"])
        if self.skipped - self.skipped_before == taken and (epoch or self.done == self.steps):
            raise NotFiniteError(
                f"all {taken:,} updates were left out (nonfinite='skip'); "
                f"{self._culprit(self.done - 1)}. The model has learned nothing: look for values "
                "that are too large, and scale the data, such as to mean 0 and standard deviation 1"
            )

    def _evaluate(self) -> None:
        assert self.held_out is not None
        job, state = self.job, self.state
        metrics = job.metrics(self.graphdef, state.weights, state.rest, self.held_out)
        self._record("validation", metrics)
        if state.plateau is not None:
            value = jnp.asarray(job.sign * metrics[self.options.monitor], jnp.float32)
            state = state._replace(plateau=evaluated(job.plan, state.plateau, value))
            self.state = state
        if state.best is not None and self._stale() == 0:
            best = jax.tree.map(jnp.copy, (state.weights, state.rest))
            self.state = state._replace(best=best)
        self.ended = self._patience_is_over()
        if self.callbacks.all:
            # Copies of their own: the next call of the loop takes the state's arrays.
            state = job.at_hand((self.state.weights, self.state.rest))
            model = nnx.merge(self.graphdef, *jax.tree.map(jnp.copy, state), copy=True)
            model.eval()
            self.callbacks.evaluation(self.done, model)

    def _record(self, split: str, metrics: dict[str, float]) -> None:
        try:
            self.rows.add(self.done, split, metrics)
        except OSError as error:
            raise NotWrittenError(
                f"the metrics of step {self.done} could not be written to {self.job.folder} "
                f"({error}){self._last_good()}; make room there and resume"
            ) from error

    def evaluations(self) -> list[Row]:
        """Return the rows of the evaluations among which the best one is looked for."""
        return [r for r in self.rows.all if r["split"] == "validation" and r["step"] > self.since]

    def _stale(self) -> int:
        """Return how many evaluations ago the best one was, a function of the rows alone."""
        values = [row[self.options.monitor] for row in self.evaluations()]
        scores = [math.inf if math.isnan(v) else self.job.sign * v for v in values]
        return len(scores) - 1 - scores.index(min(scores)) if scores else 0

    def _patience_is_over(self) -> bool:
        patience = self.options.patience
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

    def _culprit(self, step: int) -> str:
        indices = self.feed.order.batches(step, 1)[0]
        batch = {name: gather(a, indices) for name, a in self.data.items()}
        batch = to_device(batch, self.job.plan.layout)
        state = self.state._replace(step=jnp.asarray(step, jnp.int32))
        culprit = first_not_finite(self.graphdef, state, batch, self.seed, self.num_examples)
        return (
            f"step {step}: {culprit or 'the norm of the gradient'} is not finite, for the training "
            f"examples {' '.join(map(str, indices))}"
        )

    def _advice(self, step: int) -> str:
        if step == 0:  # no learning rate has had an effect yet
            way_out = "scale the data, such as to mean 0 and standard deviation 1"
            return f"{self._last_good()}. No update was made before: {way_out} (standardize=True)"
        return f"{self._last_good()}. Lower the learning rate, clip gradients (clip_norm)"

    def _last_good(self) -> str:
        return "" if self.checkpoints is None else f"; {self.checkpoints.last_good()}"


class _FailedElsewhereError(RuntimeError):
    pass
