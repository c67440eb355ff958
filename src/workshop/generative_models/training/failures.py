"""The first tensor that is not finite, and the error that names it."""

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core.parameters import named
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
    graphdef: nnx.GraphDef, state: TrainState, batch: Data, seed: jax.Array, num_examples: jax.Array
) -> str | None:
    """Return the name of the first tensor with NaN or infinity on the way through a step.

    The way is: data, parameters, what the model puts out, losses, gradients.
    """
    names: list[str] = []

    @jax.jit
    def finite(state: TrainState, batch: Data) -> list[jax.Array]:
        key = purpose_key(seed, TRAIN, state.step)
        model = model_at(graphdef, state.params, state.rest, key, training=True)
        outputs = model.forward(batch, key)
        gradient, (losses, _) = gradients(graphdef, state, batch, seed, num_examples)
        tensors = {
            **{f"the data {k!r}": v for k, v in batch.items()},
            **{f"the parameter {k}": v for k, v in named(state.params).items()},
            **{f"the output {k!r}": v for k, v in outputs.items() if k != "statistics"},
            **{f"the loss {k!r}": v for k, v in losses.items() if k != "statistics"},
            **{f"the gradient of {k}": v for k, v in named(gradient).items()},
        }
        names[:] = tensors
        return [jnp.all(jnp.isfinite(jnp.asarray(v))) for v in tensors.values()]

    flags = jax.device_get(finite(state, batch))
    return next((name for name, flag in zip(names, flags, strict=True) if not flag), None)
