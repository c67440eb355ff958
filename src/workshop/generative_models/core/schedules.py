"""Values that change with the training step, traced or not."""

from typing import get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration import KLScheduleName

_CYCLES, RISING = 4, 0.5
"""Of a cyclical schedule: how many cycles, and the share of each that rises."""


def linear_ramp(final: float, steps: int, step: ArrayLike | None) -> jnp.ndarray:
    """Return min(final, final · step / steps): a line from 0, then constant.

    0 steps are no ramp; a step of None is after the ramp, as at evaluation.

    Examples:
        >>> float(linear_ramp(4.0, 100, 25))
        1.0
    """
    if step is None or steps == 0:
        return jnp.asarray(final, jnp.float32)
    # optax.linear_schedule counts down from the end, and loses the digits of the first steps.
    return final * jnp.clip(jnp.asarray(step, jnp.float32) / steps, 0.0, 1.0)


def annealed(name: str, final: float, steps: int, step: ArrayLike | None) -> jnp.ndarray:
    """Return a value that rises from 0 to `final` over `steps` steps, and then stays.

    With u = step / steps,

        constant  final
        linear    final · u
        sigmoid   final · (σ(12u - 6) - σ(-6)) / (σ(6) - σ(-6))
        cyclical  final · min(2 · (4u mod 1), 1): four times a line and a rest.

    0 steps are no schedule; a step of None is after the schedule, as at evaluation.

    References:
        Bowman et al., Generating Sentences from a Continuous Space, CoNLL 2016 (sigmoid); Fu et
        al., Cyclical Annealing Schedule, NAACL 2019.

    Examples:
        >>> [round(float(annealed("cyclical", 1.0, 80, t)), 2) for t in (0, 5, 10, 19, 20, 80)]
        [0.0, 0.5, 1.0, 1.0, 0.0, 1.0]
    """
    checks.one_of("kl_schedule", name, get_args(KLScheduleName))
    if name == "constant" or step is None or steps == 0:
        return jnp.asarray(final, jnp.float32)
    if name == "linear":
        return linear_ramp(final, steps, step)
    u = jnp.asarray(step, jnp.float32) / steps
    if name == "sigmoid":
        low, high = jax.nn.sigmoid(-6.0), jax.nn.sigmoid(6.0)
        shape = (jax.nn.sigmoid(12 * u - 6) - low) / (high - low)
    else:
        shape = jnp.minimum((_CYCLES * u % 1.0) / RISING, 1.0)
    return final * jnp.where(u < 1, shape, 1.0)
