"""The trainer: arrays and a model in, a trained model and the history of its metrics out."""

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import check_finite
from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.configuration.training import (
    Devices,
    LoopConfig,
    checked_options,
)
from workshop.generative_models.core.containers import is_lazy
from workshop.generative_models.core.critics import has_critic
from workshop.generative_models.core.files import locked
from workshop.generative_models.core.moments import as_read, moments_of
from workshop.generative_models.core.optimizers import create_optimizer, plateau
from workshop.generative_models.core.parameters import refuse_not_finite
from workshop.generative_models.data import Dataset, reading
from workshop.generative_models.data.reading import Arrays, EpochOrder, parts
from workshop.generative_models.devices import layout
from workshop.generative_models.devices.signals import StopSignals
from workshop.generative_models.tracking.callbacks import Callback, Row, checked
from workshop.generative_models.tracking.loggers import ProgressBar
from workshop.generative_models.training.checkpoint import Checkpoints
from workshop.generative_models.training.feeds import Resident, Streamed, fits
from workshop.generative_models.training.job import Job, check_monitor
from workshop.generative_models.training.kept import LEARNED, Kept, begin, keep
from workshop.generative_models.training.run import Run
from workshop.generative_models.training.settings import run_settings
from workshop.generative_models.training.step import Plan, init_state

_log = logging.getLogger("workshop")


class Trainer:
    """Trains a model by a compiled loop.

    Args:
        model: what to train; `fit` leaves it trained.
        optimizer: an optax transformation, such as `create_optimizer` gives; Adam with learning
            rate 1e-3 if None.
        batch_size: examples in a step, of all devices together.
        seed: of the order of examples and of every random key of training and evaluation.
        folder: where `metrics.jsonl` and `checkpoints/` go; None writes nothing.
        checkpoint_every: steps between checkpoints; None writes one every 20 seconds. There is
            always one at the end.
        log_every: steps that a row of training metrics averages over.
        evaluate_every: steps between evaluations on the validation data; None is ten in a run.
        average: decay of a moving average of the weights, such as 0.999, which is then what is
            evaluated and left in the model; None keeps none.
        nonfinite: "stop" at a loss or gradient with NaN or infinity, or "skip" that update and
            count it.
        monitor: the validation metric that patience, keep_best and plateau_patience look at, in the
            direction that `core.metrics` or the model's `metrics` state.
        patience: evaluations without a better one after which the run ends; None never ends it.
        keep_best: leave the model as it was at its best evaluation, not at the last step.
        plateau_patience: evaluations without a better one after which the learning rate is
            multiplied by `plateau_factor`, and again after as many more; None never does.
        plateau_factor: between 0 and 1.
        devices: "one"; "data" splits examples over all devices of all processes, "full" parameters
            and the optimizer's state as well.
        stream: read training data as it is needed instead of keeping it on the device; None does
            so for what takes more than a quarter of the memory.
        callbacks: `Callback` objects, called while the model trains.
        progress: show a bar.

    Examples:
        >>> from workshop.generative_models.models.vae import VAE
        >>> from workshop.generative_models.core.configuration import (
        ...     DecoderConfig, EncoderConfig, VAEConfig)
        >>> config = VAEConfig(
        ...     encoder=EncoderConfig(hidden_dims=[16], latent_dim=2, input_shape=[4]),
        ...     decoder=DecoderConfig(hidden_dims=[16], latent_dim=2, output_shape=[4]))
        >>> trainer = Trainer(VAE(config, rngs=nnx.Rngs(0)), batch_size=8, progress=False)
        >>> history = trainer.fit(np.ones((32, 4), np.float32), steps=100)
        >>> history[-1]["step"], history[-1]["split"]
        (100, 'train')
    """

    def __init__(
        self,
        model: GenerativeModel,
        optimizer: Any = None,  # checked below, with a way out
        batch_size: int = 128,
        seed: int = 0,
        *,
        folder: str | Path | None = None,
        checkpoint_every: int | None = None,
        log_every: int = 100,
        evaluate_every: int | None = None,
        average: float | None = None,
        nonfinite: Literal["stop", "skip"] = "stop",
        monitor: str = "loss",
        patience: int | None = None,
        keep_best: bool = False,
        plateau_patience: int | None = None,
        plateau_factor: float = 0.1,
        devices: Devices = "one",
        stream: bool | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
    ):
        if not isinstance(model, GenerativeModel):
            raise TypeError(
                f"model is a {type(model).__name__}: expected a model such as VAE, built; the "
                "order is Trainer(model, optimizer)"
            )
        self.model = model
        self.options = checked_options(
            LoopConfig,
            {
                "batch_size": batch_size, "seed": seed, "checkpoint_every": checkpoint_every,
                "log_every": log_every, "evaluate_every": evaluate_every, "average": average,
                "nonfinite": nonfinite, "monitor": monitor, "patience": patience,
                "keep_best": keep_best, "plateau_patience": plateau_patience,
                "plateau_factor": plateau_factor, "devices": devices, "stream": stream,
            },
        )  # fmt: skip
        if isinstance(optimizer, nnx.Optimizer):
            raise ValueError(
                "optimizer is an nnx.Optimizer, which holds a model and a state of its own: pass "
                "the transformation that it was made from, optimizer.tx"
            )
        if optimizer is not None and not hasattr(optimizer, "update"):
            raise ValueError(
                f"optimizer={optimizer!r}: expected an optax transformation, such as "
                "optax.adam(1e-3)"
            )
        if folder is not None and not isinstance(folder, (str, os.PathLike)):
            raise TypeError(f"folder={folder!r}: expected a path, such as 'runs/mine'")
        self.folder = None if folder is None else Path(folder).expanduser()
        optimizer = create_optimizer() if optimizer is None else optimizer
        options = self.options
        waits, factor = options.plateau_patience, options.plateau_factor
        self.plan = Plan(
            optimizer,
            options.average,
            options.nonfinite == "skip",
            layout.choose(options.devices, options.batch_size),
            None if waits is None else plateau(waits, factor),
            (model.critic_optimizer() or optimizer) if has_critic(model) else None,
        )
        self.callbacks = checked(callbacks)
        self.progress = progress and jax.process_index() == 0
        self._kept: Kept | None = None
        self._run: Run | None = None
        self._num_examples: int | None = None
        self._alone = threading.Lock()

    def fit(
        self,
        train: Any,
        validation: Any = None,
        *,
        steps: int = 2000,
        resume: bool = False,
    ) -> list[Row]:
        """Train for `steps` more steps and return the history of metrics.

        A second call continues where the last one ended: a hundred calls of `fit(x, steps=10)` give
        the bits of `fit(x, steps=1000)`. It begins with the parameters that the model then has; if
        they were changed since the last call, averages and the best evaluation start anew. To start
        over, make a new model and a new Trainer.

        SIGINT and SIGTERM end the run between two steps, with a checkpoint if there is a folder.
        However the run ends, the model is then in evaluation mode, as by `model.eval()`.

        Args:
            train: examples (n, ...): an array, lists, a data frame or a tensor; (x, y) or
                {"x": ..., "y": ...} with labels; a `Split`, or a `Dataset`, whose validation part
                is then used too; or a dataset with `len` and items, which are read once. uint8
                stands for k / 255. What is too large for memory may be anything with a shape, a
                dtype and rows that can be read with an array of integers, such as `numpy.memmap`.
            validation: the same, evaluated now and then.
            steps: how many steps to take; with `resume`, the last step of the run, counted from
                its beginning.
            resume: load the newest checkpoint in `folder`, if there is one, in place of what the
                model and this trainer hold, and train up to step `steps`.

        Returns:
            Rows like {"step": 100, "split": "train", "loss": ..., "elbo": ...}, also of earlier
            calls: means over the steps since the last row, or over the validation data.

        Raises:
            ValueError: if the data does not fit the model, or a run to resume has other settings.
            FloatingPointError: if a loss or gradient is not finite, or all updates were left out;
                model and trainer are left as they were before the call.
            Stopped: after a signal, a KeyboardInterrupt; the model holds what was learned.
            OSError: if a checkpoint or the metrics cannot be written; the model holds what was
                learned, as after any exception of a callback or of the data, which notes the step.
            FileExistsError: if `folder` holds a run already and this one is not to resume it.
            BlockingIOError: if another process is writing `folder`; the error names it.
        """
        if not self._alone.acquire(blocking=False):
            raise ValueError("fit is running already: a callback or another thread called it again")
        try:
            return self._fit(train, validation, steps=steps, resume=resume)
        finally:
            self._alone.release()

    def _fit(self, train: Any, validation: Any, *, steps: int, resume: bool) -> list[Row]:
        steps = checks.positive_int("steps", steps)
        if resume and self.folder is None:
            raise ValueError("resume=True needs the folder of the run: Trainer(folder=...)")
        if isinstance(train, Dataset):
            train, validation = train.train, train.validation if validation is None else validation
        data = self._arrays("train", train)
        held_out = None if validation is None else self._arrays("validation", validation)
        self._num_examples = len(data["x"])
        options = self.options
        if held_out is None and (options.keep_best or options.patience or options.plateau_patience):
            raise ValueError(
                "keep_best, patience and plateau_patience look at validation data: pass validation"
            )
        example = {name: jnp.asarray(a[:1]) for name, a in data.items()}
        self.model.build(example)
        model = nnx.clone(self.model)  # so that a run that fails leaves the model as it was
        if self._kept is None or self._kept.model is not self.model:
            self._initialize(model, data, reading.column_names(train))
        model.train()  # so that the program is the same one, whatever mode the model was in
        graphdef, state = init_state(model, self.plan, example, keep_best=options.keep_best)
        if self.plan.critic_optimizer is not None and "critic_loss" not in state.sums:
            raise ValueError(
                "the model has parameters of type CriticParam, and its loss_fn returns no "
                "'critic_loss' to train them"
            )
        check_monitor(options.monitor, state.sums.keys() - {"count"}, self.model.metrics)
        where = self.plan.layout
        if where is not None:
            state = where.place(state)
        order = EpochOrder(len(data["x"]), options.batch_size, options.seed)
        with contextlib.ExitStack() as stack:
            stack.callback(self.model.eval)
            signals = stack.enter_context(StopSignals())
            self._take_folder(stack)
            streams = not fits(data) if options.stream is None else options.stream
            checkpoints = None
            if self.folder is not None:
                settings = run_settings(self._job(), data, held_out, streams=streams)
                checkpoints = Checkpoints(self.folder / "checkpoints", settings)
                stack.callback(checkpoints.close)
            start = begin(self.model, state, self._kept, checkpoints, resume=resume)
            done = int(start.state.step)
            last = steps if resume else done + steps
            if done > last:
                raise ValueError(
                    f"steps={steps}: the run in {self.folder} is at step {done} already"
                )
            every = options.evaluate_every or max(steps // 10, 1)
            feed = Streamed(data, order, where, last) if streams else Resident(data, order, where)
            run = Run(self._job(), graphdef, start, data, feed, held_out, last, every, checkpoints)
            self._run = run
            stack.callback(setattr, self, "_run", None)
            stack.enter_context(run.callbacks.listening(done))
            bar = stack.enter_context(ProgressBar(last, start=done, enabled=self.progress))
            try:
                return run.go(bar, signals)
            finally:
                # What was learned before an exception or an interrupt is kept too.
                self._keep(run)

    def evaluate(self, data: Any) -> dict[str, float]:
        """Return the mean over all examples of every metric, in nats per example.

        Called by a callback, it evaluates the weights of that moment. A loss that depends on the
        size of the training set gets that of the last call of `fit`, and None before the first.

        Args:
            data: examples, as `fit` takes them.

        Raises:
            ValueError: for data as in `fit`, or if a parameter of the model is not finite.
        """
        arrays, job = self._arrays("data", data), self._job()
        if self._run is not None:
            state = self._run.state
            return job.metrics(self._run.graphdef, state.weights, state.rest, arrays)
        refuse_not_finite(self.model)
        graphdef, params, rest = nnx.split(self.model, nnx.Param, ...)
        if self.plan.layout is not None:
            params, rest = self.plan.layout.place((params, rest))
        return job.metrics(graphdef, params, rest, arrays)

    def _job(self) -> Job:
        return Job(
            self.model, self.options, self.plan, self.folder, self.callbacks, self._num_examples
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse pickling and copying: optimizers are made of functions that have no name."""
        raise TypeError(
            "a Trainer cannot be pickled or copied, as its optimizer is made of local functions: "
            "pickle trainer.model, and make a new Trainer"
        )

    def _initialize(
        self, model: GenerativeModel, data: Arrays, names: Sequence[str] | None
    ) -> None:
        """Set the initial values that depend on the training data."""
        sampled = not fits(data)
        x = reading.sampled_rows(data["x"]) if sampled else (p["x"] for _, p in parts(data, 1))

        def examples(n: int) -> np.ndarray:
            return as_read(next(reading.sampled_rows(data["x"], n)))

        model.initialize(moments_of(x, names)._replace(examples=examples))

    def _take_folder(self, stack: contextlib.ExitStack) -> None:
        """Make the folder, and lock it against other runs until the stack is closed."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"folder={str(self.folder)!r} cannot be made ({error}): choose another"
            ) from error
        if jax.process_index() == 0:  # one lock for all processes of a run
            stack.enter_context(locked(self.folder))

    def _keep(self, run: Run) -> None:
        """Put what was learned into the model, unless a call of the loop still holds it."""
        state = run.state
        if not run.keeps or any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):
            return
        weights, rest = state.weights, state.rest
        best = state.best is not None and len(run.evaluations()) > 0
        if state.best is not None and best:
            weights, rest = state.best
        nnx.update(self.model, *self._job().at_hand((weights, nnx.filter_state(rest, LEARNED))))
        self._kept = keep(self.model, state, run.rows.all, run.since, best=best)

    def _arrays(self, name: str, data: Any) -> Arrays:
        """Return data as the model reads it, or say which split cannot be used, and why."""
        model = self.model
        arrays = reading.as_arrays(name, data, keys=model.batch_keys, read=model.read_examples)
        for start, part in parts(arrays, 1):
            if start == 0 and is_lazy(arrays["x"]):
                model.read_examples(name, part["x"])  # what only many rows tell, such as bytes
            check_finite(name, part["x"], start=start)
            try:
                model.check_data(part["x"], part.get("y"))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            if not fits(arrays):
                break  # the first stretch must do: reading all would take as long as an epoch
        shape, kind = arrays["x"].shape, arrays["x"].dtype
        read_as = ", read as k / 255" if kind == np.uint8 else ""
        _log.info("%s: %d examples of shape %s, %s%s", name, shape[0], shape[1:], kind, read_as)
        return arrays
