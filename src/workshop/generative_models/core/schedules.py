"""Values that change with the training step, traced or not."""

import jax.numpy as jnp
from jax.typing import ArrayLike


def linear_ramp(final: float, steps: int, step: ArrayLike | None) -> jnp.ndarray:
    """Return min(final, final · step / steps): a line from 0, then constant.

    Args:
        final: the last value.
        steps: length of the ramp; 0 is no ramp.
        step: the training step, a Python int or traced; None is after the ramp, as at evaluation.

    Examples:
        >>> float(linear_ramp(4.0, 100, 25))
        1.0
    """
    if step is None or steps == 0:
        return jnp.asarray(final, jnp.float32)
    # optax.linear_schedule counts down from the end, and loses the digits of the first steps.
    return final * jnp.clip(jnp.asarray(step, jnp.float32) / steps, 0.0, 1.0)
