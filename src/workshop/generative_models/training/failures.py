"""The first tensor that is not finite, and the error that names it."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.training.step import (
    TRAIN,
    Data,
    TrainState,
    gradients,
    model_at,
    purpose_key,
)


class NotFiniteError(FloatingPointError):
    """A loss, gradient or parameter is not finite; nothing of the run is kept in the model."""


def first_not_finite(
    graphdef: nnx.GraphDef, state: TrainState, batch: Data, seed: jax.Array
) -> str | None:
    """Return the name of the first tensor with NaN or infinity on the way through a step.

    The way is: data, parameters, what the model puts out, losses, gradients.
    """
    for name, finite in _finite(graphdef, state, batch, seed):
        if not finite:
            return name
    return None


def not_finite_parameter(params: nnx.State) -> str | None:
    """Return the name of the first parameter with NaN or infinity: an update may be too large."""
    named = _named(params)
    flags = jax.device_get(_all_finite(named))
    return next((name for name in named if not flags[name]), None)


@jax.jit
def _all_finite(named: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: jnp.all(jnp.isfinite(array)) for name, array in named.items()}


def _finite(
    graphdef: nnx.GraphDef, state: TrainState, batch: Data, seed: jax.Array
) -> list[tuple[str, bool]]:
    names: list[str] = []

    @functools.partial(jax.jit, static_argnums=0)
    def check(
        graphdef: nnx.GraphDef, state: TrainState, batch: Data, seed: jax.Array
    ) -> list[jax.Array]:
        key = purpose_key(seed, TRAIN, state.step)
        model = model_at(graphdef, state.params, state.rest, key, training=True)
        outputs = model.forward(batch, key)
        gradient, (losses, _) = gradients(graphdef, state, batch, seed)
        tensors = {
            **{f"the data {k!r}": v for k, v in batch.items()},
            **{f"the parameter {k}": v for k, v in _named(state.params).items()},
            **{f"the output {k!r}": v for k, v in outputs.items() if k != "statistics"},
            **{f"the loss {k!r}": v for k, v in losses.items() if k != "statistics"},
            **{f"the gradient of {k}": v for k, v in _named(gradient).items()},
        }
        names[:] = tensors
        return [jnp.all(jnp.isfinite(jnp.asarray(v))) for v in tensors.values()]

    flags = jax.device_get(check(graphdef, state, batch, seed))
    return list(zip(names, map(bool, flags), strict=True))


def _named(state: nnx.State) -> dict[str, jax.Array]:
    return {".".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(state)}
