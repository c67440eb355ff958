"""What a trainer hands to each of its runs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.configuration.training import LoopConfig
from workshop.generative_models.core.metrics import Metric, metric_of
from workshop.generative_models.data.reading import Arrays, parts
from workshop.generative_models.tracking.callbacks import Callback
from workshop.generative_models.training.evaluation import metric_sums
from workshop.generative_models.training.feeds import to_device
from workshop.generative_models.training.step import Plan


@dataclass(frozen=True)
class Job:
    """A model, and the settings to train it with.

    Args:
        model: what to train.
        options: of the training loop.
        plan: what a step does.
        folder: where metrics and checkpoints go; None writes nothing.
        callbacks: called while the model trains.
        num_examples: the size of the training set; None before it is known.
    """

    model: GenerativeModel
    options: LoopConfig
    plan: Plan
    folder: Path | None = None
    callbacks: tuple[Callback, ...] = ()
    num_examples: int | None = None

    @property
    def sign(self) -> float:
        """1 if a small value of the monitored metric is good, else -1."""
        metric = metric_of(self.options.monitor, self.model.metrics)
        return -1.0 if metric.larger_is_better else 1.0

    def at_hand(self, state: Any) -> Any:
        """Return arrays of a training state whole, on one device."""
        layout = self.plan.layout
        return state if layout is None else layout.gather(state)

    def metrics(
        self, graphdef: nnx.GraphDef, params: nnx.State, rest: nnx.State, data: Arrays
    ) -> dict[str, float]:
        """Return the mean over all examples of every metric, for a model in parts."""
        examples, seed = len(data["x"]), jnp.asarray(self.options.seed)
        size = min(self.options.batch_size, examples)
        trained_on = None if self.num_examples is None else jnp.asarray(self.num_examples)
        sums: dict[str, float] = {}
        for first, part in parts(data, size):
            found = metric_sums(
                graphdef,
                params,
                rest,
                to_device(part, self.plan.layout),
                jnp.asarray(first),
                seed,
                trained_on,
                batch_size=size,
                layout=self.plan.layout,
            )
            for name, value in jax.device_get(found).items():
                sums[name] = sums.get(name, 0.0) + float(value)
        return {name: total / examples for name, total in sums.items()}


def check_monitor(name: str, found: Collection[str], own: Mapping[str, Metric]) -> None:
    """Refuse a metric that the model does not report, or of which no direction is better."""
    metric = metric_of(checks.one_of("monitor", name, found), own)
    if metric.larger_is_better is not None:
        return
    if metric.constant:
        known = sorted(n for n in found if metric_of(n, own).larger_is_better is not None)
        raise ValueError(
            f"monitor={name!r} is a setting and no measurement: expected one of {', '.join(known)}"
        )
    raise ValueError(
        f"monitor={name!r}: whether a larger value is better is unknown. State it in the model's "
        f"class: metrics = {{{name!r}: Metric({name.replace('_', ' ')!r}, larger_is_better=False)}}"
        ", with Metric from workshop.generative_models.core.metrics"
    )
