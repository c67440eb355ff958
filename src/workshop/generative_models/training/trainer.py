"""The trainer: arrays and a model in, a trained model and the history of its metrics out."""

import math
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.data import Dataset, Split
from workshop.generative_models.training.checkpoint import Checkpoints
from workshop.generative_models.training.loggers import MetricsFile, ProgressBar, Row
from workshop.generative_models.training.order import EpochOrder
from workshop.generative_models.training.step import (
    Data,
    TrainState,
    evaluate,
    init_state,
    train_steps,
)

MOST_STEPS = 1000
"""Steps that one call of the compiled loop may take."""
SECONDS_A_CALL = 0.25
"""How long a call should take: the host looks, and draws its bar, a few times a second."""


class Trainer:
    """Trains a model by a compiled loop.

    Args:
        model: what to train; `fit` leaves it trained.
        optimizer: an optax transformation; Adam with learning rate 1e-3 if None.
        batch_size: examples in a step.
        seed: of the order of examples and of every random key of training and evaluation.
        folder: where `metrics.jsonl` and `checkpoints/` go; None writes nothing.
        checkpoint_every: steps between checkpoints; None writes one at the end.
        log_every: steps that a row of training metrics averages over.
        evaluate_every: steps between evaluations on the validation data; None is ten in a run.
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
        optimizer: optax.GradientTransformation | None = None,
        batch_size: int = 128,
        seed: int = 0,
        *,
        folder: str | Path | None = None,
        checkpoint_every: int | None = None,
        log_every: int = 100,
        evaluate_every: int | None = None,
        progress: bool = True,
    ):
        self.model = model
        self.optimizer = optax.adam(1e-3) if optimizer is None else optimizer
        self.batch_size = checks.positive_int("batch_size", batch_size)
        self.seed = int(seed)
        self.folder = None if folder is None else Path(folder)
        self.checkpoint_every = checkpoint_every and checks.positive_int(
            "checkpoint_every", checkpoint_every
        )
        self.log_every = checks.positive_int("log_every", log_every)
        self.evaluate_every = evaluate_every and checks.positive_int(
            "evaluate_every", evaluate_every
        )
        self.progress = progress

    def fit(
        self,
        train: Any,
        validation: Any = None,
        *,
        steps: int = 2000,
        resume: bool = False,
    ) -> list[Row]:
        """Train for `steps` steps and return the history of metrics.

        Args:
            train: an array of examples, a dict {"x": ..., "y": ...}, a `Split`, or a `Dataset`,
                whose validation part is then used too.
            validation: the like, evaluated now and then.
            steps: training steps in all.
            resume: go on from the newest checkpoint in `folder`, if there is one.

        Returns:
            Rows like {"step": 100, "split": "train", "loss": ..., "elbo": ...}: means over the
            steps since the last row, or over the validation data; nats per example.

        Raises:
            ValueError: if the data does not fit the model.
            FloatingPointError: if the loss is no longer finite; the model is left as it was.
        """
        steps = checks.positive_int("steps", steps)
        if isinstance(train, Dataset):
            train, validation = train.train, train.validation if validation is None else validation
        data = self._data("train", train)
        held_out = None if validation is None else self._data("validation", validation)
        self.model.check_data(data["x"][:1])  # builds nothing, but names what does not fit
        self._build(data)
        graphdef, state = init_state(self.model, self.optimizer, data)
        checkpoints = None if self.folder is None else Checkpoints(self.folder / "checkpoints")
        try:
            if resume and checkpoints is not None and checkpoints.newest is not None:
                state = checkpoints.restore(state)
            return self._run(graphdef, state, data, held_out, steps, checkpoints)
        finally:
            if checkpoints is not None:
                checkpoints.close()

    def evaluate(self, data: Any) -> dict[str, float]:
        """Return the mean over all examples of every metric, in nats per example.

        Args:
            data: an array of examples, a dict {"x": ..., "y": ...}, or a `Split`.
        """
        arrays = self._data("data", data)
        graphdef, params, rest = nnx.split(self.model, nnx.Param, ...)
        return self._evaluate(graphdef, params, rest, arrays)

    def _run(
        self,
        graphdef: nnx.GraphDef,
        state: TrainState,
        data: Data,
        held_out: Data | None,
        steps: int,
        checkpoints: Checkpoints | None,
    ) -> list[Row]:
        done = int(state.step)
        rows = _Rows(self.folder, done)
        order = EpochOrder(len(data["x"]), self.batch_size, self.seed)
        evaluate_every = self.evaluate_every or max(steps // 10, 1)
        events = [self.log_every, evaluate_every, self.checkpoint_every or steps]
        seed, per_call = jnp.asarray(self.seed), 1
        try:
            with ProgressBar(steps, start=done, enabled=self.progress) as bar:
                while done < steps:
                    next_event = min((done // every + 1) * every for every in events)
                    count = min(next_event - done, steps - done, per_call)
                    started = time.perf_counter()
                    indices = self._indices(order, done, count)
                    state = train_steps(
                        graphdef, self.optimizer, state, data, indices, jnp.asarray(count), seed
                    )
                    means = self._means(state, done)
                    done += count
                    bar.update(done, means)
                    per_call = _next_count(per_call, count, time.perf_counter() - started)
                    if done % self.log_every == 0 or done == steps:
                        rows.add(done, "train", means)
                        state = state._replace(sums=jax.tree.map(jnp.zeros_like, state.sums))
                    if held_out and (done % evaluate_every == 0 or done == steps):
                        metrics = self._evaluate(graphdef, state.params, state.rest, held_out)
                        rows.add(done, "validation", metrics)
                    if checkpoints and (
                        done == steps
                        or (self.checkpoint_every and done % self.checkpoint_every == 0)
                    ):
                        checkpoints.save(state)
        except KeyboardInterrupt:
            # What was learned before the user stopped is theirs, unless a call still holds it.
            if not any(leaf.is_deleted() for leaf in jax.tree.leaves(state.params)):
                nnx.update(self.model, state.params, state.rest)
            raise
        nnx.update(self.model, state.params, state.rest)
        return rows.all

    def _means(self, state: TrainState, before: int) -> dict[str, float]:
        sums = {name: float(value) for name, value in jax.device_get(state.sums).items()}
        count = sums.pop("count")
        if not math.isfinite(sums["loss"]):
            raise FloatingPointError(
                f"the loss is not finite after step {before}: lower the learning rate, or clip "
                "gradients with optax.clip_by_global_norm"
            )
        return {name: total / count for name, total in sums.items()}

    def _indices(self, order: EpochOrder, first: int, count: int) -> jax.Array:
        padded = np.zeros((MOST_STEPS, self.batch_size), np.int32)
        padded[:count] = order.batches(first, count)
        return jnp.asarray(padded)

    def _evaluate(
        self, graphdef: nnx.GraphDef, params: nnx.State, rest: nnx.State, data: Data
    ) -> dict[str, float]:
        size = min(self.batch_size, len(data["x"]))
        metrics = evaluate(graphdef, params, rest, data, jnp.asarray(self.seed), batch_size=size)
        return {name: float(value) for name, value in metrics.items()}

    def _build(self, data: Data) -> None:
        """Let networks without a given input shape build their layers from one example."""
        self.model.loss_fn(batch={k: v[:1] for k, v in data.items()}, rng=jax.random.key(0))

    def _data(self, name: str, data: Any) -> Data:
        if isinstance(data, Dataset):
            raise ValueError(f"{name} is a whole Dataset: pass one part, such as {name}.test")
        if isinstance(data, Split):
            data = {"x": data.x, "y": data.y}
        if not isinstance(data, dict):
            data = {"x": data}
        arrays = {k: np.asarray(v) for k, v in data.items() if v is not None}
        if "x" not in arrays or not len(arrays["x"]):
            raise ValueError(f"{name} holds no examples: expected an array, or a dict with key 'x'")
        self.model.check_data(arrays["x"], arrays.get("y"))
        return {k: jnp.asarray(v) for k, v in arrays.items()}


class _Rows:
    """The history of metrics, also written to the run's folder if there is one."""

    def __init__(self, folder: Path | None, done: int):
        self._file = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = MetricsFile(folder / "metrics.jsonl", done or None)
        self.all: list[Row] = [] if self._file is None else self._file.rows

    def add(self, step: int, split: str, metrics: dict[str, float]) -> None:
        row = {"step": step, "split": split, **metrics}
        self.all.append(row)
        if self._file is not None:
            self._file.write(row)


def _next_count(per_call: int, count: int, seconds: float) -> int:
    """Return how many steps the next call should take, growing at most tenfold at a time.

    A first call is mostly compilation, so it says little about speed.
    """
    wanted = int(SECONDS_A_CALL * count / max(seconds, 1e-6))
    return max(1, min(wanted, 10 * per_call, MOST_STEPS))
