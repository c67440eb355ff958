"""The compiled training loop: many steps in one program, data on the device, state donated.

Every random key comes from (seed, purpose, step), so that what a step does never depends on which
call ran it.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int

from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.critics import parameter_groups
from workshop.generative_models.core.metrics import ALIASES
from workshop.generative_models.devices.layout import Layout

TRAIN, EVALUATE = 1, 2
"""The purposes that keys are drawn for."""

Data = dict[str, jax.Array]
"""Arrays by the names of a batch, "x" and perhaps "y", with all examples along the first axis."""


class Feed(NamedTuple):
    """The batches of a call of the loop: rows of indices into data, or batches cut beforehand."""

    data: Data
    """Examples (n, ...); or without indices whole batches (rows, batch, ...)."""
    indices: jax.Array | None
    """Which examples, (rows, batch), or None."""
    first: jax.Array
    """The row to begin with."""

    def batch(self, i: jax.Array) -> Data:
        """Return the i-th batch of the call."""
        row = self.first + i
        where = row if self.indices is None else self.indices[row]
        return {name: array[where] for name, array in self.data.items()}


class Plan(NamedTuple):
    """What a step does beside the model's loss: static, a part of the compiled program."""

    optimizer: optax.GradientTransformation
    average: float | None = None
    """Decay of the average of the weights, if one is kept."""
    skip: bool = False
    """Leave out an update that is not finite, instead of stopping at it."""
    layout: Layout | None = None
    """How arrays lie on several devices."""
    plateau: optax.GradientTransformationExtraArgs | None = None
    """What reduces the learning rate when evaluations get no better."""

    critic_optimizer: optax.GradientTransformation | None = None
    """The optimizer of the parameters of a critic; None if the model has no critic."""

    @property
    def transformation(self) -> optax.GradientTransformation:
        """The optimizer of all parameters, partitioned by their type if there is a critic."""
        if self.critic_optimizer is None:
            return self.optimizer
        groups: Any = {"model": self.optimizer, "critic": self.critic_optimizer}
        return optax.partition(groups, parameter_groups)

    def laid(self, state: "TrainState") -> "TrainState":
        """Return the state, its layout said to the compiler."""
        return state if self.layout is None else self.layout.constrain(state)


class TrainState(NamedTuple):
    """All that training changes, and all that a checkpoint holds."""

    step: jax.Array
    params: nnx.State
    opt_state: optax.OptState
    rest: nnx.State
    """What gradients do not train: usage of codes, random streams."""
    average: nnx.State | None
    """The moving average of the parameters."""
    best: tuple[nnx.State, nnx.State] | None
    """Parameters and rest of the best evaluation so far."""
    sums: dict[str, jax.Array]
    """Sums of the metrics since the last row, and under "count" the steps they hold."""
    failed: jax.Array
    """The last step whose loss or gradient was not finite; -1 is none."""
    skipped: jax.Array
    """How many updates were left out."""
    plateau: Any = None
    """The state of `Plan.plateau`, whose scale multiplies every update."""

    @property
    def weights(self) -> nnx.State:
        """The parameters to evaluate and save: the average, where one is kept."""
        return self.params if self.average is None else self.average


def purpose_key(seed: jax.Array, purpose: int, step: jax.Array) -> jax.Array:
    """Return the key of a purpose at a step."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), purpose), step)


def scalars(losses: dict[str, Any]) -> dict[str, jax.Array]:
    """Return the losses that are single numbers, each under one name, in float32."""
    named = {
        ALIASES.get(name, name): jnp.asarray(value, jnp.float32)
        for name, value in losses.items()
        if ALIASES.get(name) not in losses and name != "statistics"
    }
    return {name: value for name, value in named.items() if value.ndim == 0}


def init_state(
    model: GenerativeModel, plan: Plan, example: Data, *, keep_best: bool = False
) -> tuple[nnx.GraphDef, TrainState]:
    """Return a model's structure and a state of copies, which can be donated."""
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    return graphdef, _start(graphdef, plan, params, rest, example, keep_best=keep_best)


# One program, where a copy of every shape alone would be many; and one for all equal models.
@functools.partial(jax.jit, static_argnames=("graphdef", "plan", "keep_best"))
def _start(
    graphdef: nnx.GraphDef,
    plan: Plan,
    params: nnx.State,
    rest: nnx.State,
    example: Data,
    *,
    keep_best: bool,
) -> TrainState:
    def metrics() -> dict[str, jax.Array]:
        key = jax.random.key(0)
        model = model_at(graphdef, params, rest, key, training=True)
        step, num_examples = jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32)
        return scalars(losses_of(model, example, key, step, num_examples))

    # The barriers make copies: jit would hand its own arguments back.
    copies = jax.lax.optimization_barrier
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=copies(params),
        opt_state=_optimizer_state(plan, params),
        rest=copies(rest),
        average=None if plan.average is None else copies(params),
        best=copies((params, rest)) if keep_best else None,
        sums={name: jnp.zeros(()) for name in [*jax.eval_shape(metrics), "count"]},
        failed=jnp.full((), -1, jnp.int32),  # not a weak type: that would be another program
        skipped=jnp.zeros((), jnp.int32),
        plateau=None if plan.plateau is None else plan.plateau.init(params),
    )


def _optimizer_state(plan: Plan, params: nnx.State) -> optax.OptState:
    optimizer = plan.transformation
    state = optimizer.init(params)
    try:
        jax.eval_shape(optimizer.update, params, state, params)
    except TypeError as error:
        if "required keyword-only argument" not in str(error):
            raise
        raise ValueError(
            f"the optimizer needs more than gradients and parameters ({error}): leave it out; in "
            "place of optax.contrib.reduce_on_plateau use Trainer(plateau_patience=...), which "
            "looks at the validation data"
        ) from error
    return state


def model_at(
    graphdef: nnx.GraphDef, params: nnx.State, rest: nnx.State, key: jax.Array, *, training: bool
) -> Any:
    """Return a model put together for one batch: in its mode, its random streams drawn from key."""
    # The copy keeps the model's state apart from the trace around the gradient.
    model = nnx.merge(graphdef, params, rest, copy=True)
    model.train() if training else model.eval()
    streams = [v for _, v in nnx.iter_graph(model) if isinstance(v, nnx.RngState)]
    for i, variable in enumerate(streams):
        is_key = isinstance(variable, nnx.RngKey)
        variable[...] = jax.random.fold_in(key, i) if is_key else jnp.zeros_like(variable[...])
    return model


def losses_of(
    model: Any, batch: Data, key: jax.Array, step: jax.Array | None, num_examples: jax.Array | None
) -> dict[str, Any]:
    """Return a model's losses; `num_examples` goes to a `loss_fn` that accepts it."""
    arguments: dict[str, Any] = {"batch": batch, "rng": key, "step": step}
    try:
        return model.loss_fn(**arguments, num_examples=num_examples)
    except TypeError as error:
        if "unexpected keyword argument 'num_examples'" not in str(error):
            raise
    return model.loss_fn(**arguments)


def _minimised(losses: dict[str, Any]) -> jax.Array:
    """Return the number whose gradient is taken: the gradients of its terms are disjoint."""
    if "critic_loss" not in losses:
        return losses["total_loss"]
    return losses["total_loss"] + losses["critic_loss"]


def gradients(
    graphdef: nnx.GraphDef, state: TrainState, batch: Data, seed: jax.Array, num_examples: jax.Array
) -> tuple[nnx.State, tuple[dict[str, Any], nnx.State]]:
    """Return the gradient of the next step, its losses, and the state that its forward pass left.

    A forward pass changes nothing but batch statistics.
    """
    key = purpose_key(seed, TRAIN, state.step)

    def loss(params: nnx.State) -> tuple[jax.Array, tuple[dict[str, Any], nnx.State]]:
        model = model_at(graphdef, params, state.rest, key, training=True)
        losses = losses_of(model, batch, key, state.step, num_examples)
        left = nnx.state(model, nnx.Not(nnx.Any(nnx.Param, nnx.RngState)))
        return _minimised(losses), (losses, left)

    return jax.grad(loss, has_aux=True)(state.params)


def train_step(
    graphdef: nnx.GraphDef,
    plan: Plan,
    state: TrainState,
    batch: Data,
    seed: jax.Array,
    num_examples: jax.Array,
) -> TrainState:
    """Take one step: gradient, update, statistics, average, metrics."""
    # A barrier, so that the rest compiles to the same bits however the batch came to be here.
    batch = jax.lax.optimization_barrier(batch)
    if plan.layout is not None:
        batch = plan.layout.split(batch)
    gradient, (losses, left) = gradients(graphdef, state, batch, seed, num_examples)

    def update(state: TrainState) -> TrainState:
        updates, opt_state = plan.transformation.update(gradient, state.opt_state, state.params)
        if state.plateau is not None:
            updates = jax.tree.map(lambda u: u * state.plateau.scale, updates)
        params = optax.apply_updates(state.params, updates)
        rest = nnx.merge_state(state.rest, left)
        if "statistics" in losses:
            model = nnx.merge(graphdef, params, rest, copy=True)
            model.update_statistics(losses["statistics"])
            _, params, rest = nnx.split(model, nnx.Param, ...)
        metrics = scalars(losses) | {"count": jnp.ones(())}
        return TrainState(
            step=state.step + 1,
            params=params,  # type: ignore[arg-type]
            opt_state=opt_state,
            rest=rest,
            average=_moved(state.average, params, plan.average, state.step),
            best=state.best,
            sums={name: total + metrics[name] for name, total in state.sums.items()},
            failed=state.failed,
            skipped=state.skipped,
            plateau=state.plateau,
        )

    def refuse(state: TrainState) -> TrainState:
        return state._replace(
            step=state.step + 1 if plan.skip else state.step,
            failed=state.step,
            skipped=state.skipped + 1,
        )

    # As dot products, which cost nothing; sums of squares cost the CPU a tenth of the step.
    squares = sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradient))
    finite = jnp.isfinite(_minimised(losses) + squares)
    return plan.laid(jax.lax.cond(finite, update, refuse, plan.laid(state)))


def _moved(average: Any, params: Any, decay: float | None, step: jax.Array) -> Any:
    """Return the average of the weights moved towards `params`.

    Its memory is short at first, min(decay, (1 + step) / (10 + step)), so that it soon forgets the
    initial weights.
    """
    if decay is None:
        return None
    moves = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
    return optax.incremental_update(params, average, moves)


@functools.partial(jax.jit, static_argnames=("graphdef", "plan"), donate_argnames=("state",))
def train_steps(
    graphdef: nnx.GraphDef,
    plan: Plan,
    state: TrainState,
    feed: Feed,
    count: Int[Array, ""],
    seed: Int[Array, ""],
    num_examples: Int[Array, ""],
) -> TrainState:
    """Take `count` steps, fewer if the plan is to stop at a loss that is not finite.

    The count is no static size: one compiled program serves every number of steps, and the host can
    choose how often it looks.
    """

    def go_on(carry: tuple[jax.Array, TrainState]) -> jax.Array:
        i, state = carry
        return (i < count) & (plan.skip | (state.failed < 0))

    def body(carry: tuple[jax.Array, TrainState]) -> tuple[jax.Array, TrainState]:
        i, state = carry
        return i + 1, train_step(graphdef, plan, state, feed.batch(i), seed, num_examples)

    # A failure that an earlier call left out is not this one's.
    state = state._replace(failed=jnp.full((), -1, jnp.int32))
    return jax.lax.while_loop(go_on, body, (jnp.zeros((), jnp.int32), state))[1]


@functools.partial(jax.jit, static_argnames="plan")
def evaluated(plan: Plan, plateau: Any, value: jax.Array) -> Any:
    """Return the state of `Plan.plateau` after an evaluation, of which a small value is good."""
    assert plan.plateau is not None
    return plan.plateau.update({}, plateau, value=value)[1]
