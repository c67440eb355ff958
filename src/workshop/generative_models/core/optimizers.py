"""Optimizers and learning-rate schedules from optax, by name."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, get_args

import optax
import optax.contrib

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.training import RateScheduleName

_SCHEDULES = get_args(RateScheduleName)
_DECAYS_WEIGHTS = {"adamw": optax.adamw, "lion": optax.lion, "lamb": optax.lamb}
_HAS_BETAS = ("adam", "adamw", "lion", "adabelief", "lamb")
_OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "sgd": lambda rate: optax.sgd(rate, momentum=0.9),
    "rmsprop": optax.rmsprop,
    "adafactor": optax.adafactor,
    "adabelief": optax.adabelief,
    **_DECAYS_WEIGHTS,
}


def learning_rate_schedule(
    name: str, peak: float, steps: int, *, warmup_steps: int = 0, final: float = 0.0
) -> optax.Schedule:
    """Return a learning rate by step: a line up to the peak, then constant or a decay to the end.

    Args:
        name: "constant", "linear", "cosine" or "exponential".
        peak: the largest rate.
        steps: the last step of the decay.
        warmup_steps: length of the line from 0.
        final: the last rate, as a share of the peak; an exponential decay needs one above 0.

    Examples:
        >>> rate = learning_rate_schedule("cosine", 1e-3, 1000, warmup_steps=100)
        >>> [round(float(rate(step)), 6) for step in (0, 50, 100, 550, 1000)]
        [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """
    checks.one_of("schedule", name, _SCHEDULES)
    if not 0 <= warmup_steps < steps:
        raise ValueError(f"warmup_steps={warmup_steps}: expected 0 <= warmup_steps < {steps}")
    if not 0 <= final <= 1 or (name == "exponential" and final == 0):
        raise ValueError(
            f"final={final} with schedule={name!r}: expected a share of the learning rate, 0 to 1, "
            "and above 0 for an exponential decay"
        )
    length = steps - warmup_steps
    decay = {
        "constant": lambda: optax.constant_schedule(peak),
        "linear": lambda: optax.linear_schedule(peak, peak * final, length),
        "cosine": lambda: optax.cosine_decay_schedule(peak, length, final),
        "exponential": lambda: optax.exponential_decay(peak, length, final, end_value=peak * final),
    }[name]()
    if not warmup_steps:
        return decay
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), decay],
                                [warmup_steps])  # fmt: skip


@functools.cache
def plateau(patience: int, factor: float) -> optax.GradientTransformationExtraArgs:
    """Return optax's `reduce_on_plateau` of a metric to be made small, fed once an evaluation.

    Its relative tolerance is 0: of a negative metric it would take worse values for better ones.
    """
    return optax.contrib.reduce_on_plateau(factor, patience, rtol=0.0, atol=1e-30)


class _Created(optax.GradientTransformationExtraArgs):
    """An optimizer that knows the arguments it was created with."""

    arguments: Mapping[str, Any] = MappingProxyType({})


def optimizer_arguments(optimizer: optax.GradientTransformation) -> Mapping[str, Any]:
    """Return what decides an optimizer that `create_optimizer` made; of others, nothing."""
    return getattr(optimizer, "arguments", {})


@functools.cache  # the same object is the same compiled program
def create_optimizer(
    name: str = "adam",
    learning_rate: float = 1e-3,
    *,
    steps: int | None = None,
    schedule: str = "constant",
    warmup_steps: int = 0,
    final: float = 0.0,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    accumulate: int = 1,
    betas: tuple[float, float] | None = None,
) -> optax.GradientTransformation:
    """Return an optimizer: gradients are accumulated, then clipped, then used.

    Args:
        name: "adam", "adamw", "sgd" (momentum 0.9), "rmsprop", "lion", "adafactor", "adabelief" or
            "lamb".
        learning_rate: the largest.
        steps: of training, which a schedule spans.
        schedule: see `learning_rate_schedule`.
        warmup_steps: training steps until the largest rate.
        final: the last rate, as a share of the largest.
        weight_decay: decoupled, in units of the learning rate; of adamw, lion and lamb.
        clip_norm: largest norm of the gradient of all parameters together; None does not clip.
        accumulate: batches whose mean gradient makes one update.
        betas: decay of the averages of the gradient and of its square, of optimizers of Adam's
            kind; None is the optimizer's own.

    Raises:
        ValueError: if a name is unknown, or the arguments don't go together.

    Examples:
        >>> optimizer = create_optimizer("adamw", 3e-4, steps=1000, schedule="cosine",
        ...                              warmup_steps=50, weight_decay=1e-2, clip_norm=1.0)
    """
    arguments = dict(locals())
    checks.one_of("optimizer", name, _OPTIMIZERS)
    checks.positive_int("accumulate", accumulate)
    checks.at_least("weight_decay", weight_decay, 0.0)
    if weight_decay and name not in _DECAYS_WEIGHTS:
        raise ValueError(
            f"weight_decay={weight_decay} with optimizer={name!r}: choose one of "
            f"{', '.join(_DECAYS_WEIGHTS)}"
        )
    if betas is None:
        del arguments["betas"]
    elif name not in _HAS_BETAS or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(
            f"betas={betas} with optimizer={name!r}: expected two numbers from 0 to below 1, and "
            f"one of {', '.join(_HAS_BETAS)}"
        )
    if schedule == "constant" and final:
        raise ValueError(f"final={final} with schedule='constant': choose a schedule that decays")
    if steps is not None and not 0 <= warmup_steps < steps:
        raise ValueError(f"warmup_steps={warmup_steps}: expected 0 <= warmup_steps < {steps}")
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate={learning_rate}: expected a positive number")
    rate: Any = learning_rate
    if schedule == "constant" and not warmup_steps:
        del arguments["steps"]  # nothing spans them
    else:
        if steps is None:
            raise ValueError(f"schedule={schedule!r}: pass steps, which it spans")
        # The schedule counts updates, of which accumulation makes fewer.
        updates = max(steps // accumulate, 1)
        warmup = min(-(-warmup_steps // accumulate), updates - 1)
        rate = learning_rate_schedule(
            schedule, learning_rate, updates, warmup_steps=warmup, final=final
        )
    further = {"weight_decay": weight_decay} if name in _DECAYS_WEIGHTS else {}
    if betas is not None:
        further |= dict(zip(("b1", "b2"), betas, strict=True))
    optimizer = _OPTIMIZERS[name](rate, **further)
    if clip_norm is not None:
        if not clip_norm > 0:
            raise ValueError(f"clip_norm={clip_norm}: expected a positive number")
        optimizer = optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)
    if accumulate > 1:
        optimizer = optax.MultiSteps(optimizer, accumulate).gradient_transformation()
    created = _Created(optimizer.init, optax.with_extra_args_support(optimizer).update)
    created.arguments = arguments
    return created
