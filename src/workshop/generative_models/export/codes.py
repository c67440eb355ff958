"""Codes from uniform numbers, and inputs whose codes do not hang on rounding."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..models.vae.vq_sampling import usage_logits

_NUDGE = 1e-5
"""Far more than two programs' rounding differs by, and far less than what separates most codes."""
TEMPERATURE = 0.8
"""What samples are compared at."""


def codes_by_usage(
    usage: Float[Array, "rows k"], uniform: Float[Array, "batch ..."], temperature: Float[Array, ""]
) -> Int[Array, "batch ..."]:
    """Choose codes by p_k ∝ usage_k^(1/temperature), where a uniform number falls in its sums."""
    shares = jax.nn.softmax(usage_logits(usage, temperature), axis=-1)
    sums = jnp.cumsum(shares, axis=-1)
    sums = sums / sums[:, -1:]  # the last is 1 exactly, and no number reaches it
    flat = uniform.reshape(uniform.shape[0], -1)[..., None]
    codes = jnp.sum(flat >= sums, axis=-1, dtype=jnp.int32)
    return jnp.minimum(codes, usage.shape[-1] - 1).reshape(uniform.shape)


# Rounding may choose either of two codes that are equally near, in any program. Programs are
# compared on examples whose codes stay what they are when that which chooses them moves a little.


def settled_examples(model: Any, rng: np.random.Generator, n: int) -> np.ndarray:
    """Return n examples whose encodings lie well inside of their codes' regions."""
    x = rng.random((4 * n, *model.event_shape), np.float32)
    encoding = jax.jit(lambda x: model.encode(x)[0])(x)
    codes = jax.jit(lambda e: model.quantize(e, deterministic=True)[1]["encoding_indices"])
    size = float(jnp.abs(encoding).max())
    return x[_most_settled(codes, np.asarray(encoding), size, rng, n)]


def settled_noise(model: Any, rng: np.random.Generator, n: int) -> np.ndarray:
    """Return n examples' uniform numbers that lie well between the sums of shares."""
    u = rng.random((4 * n, *model.code_shape), np.float32)
    temperature = jnp.float32(TEMPERATURE)
    codes = jax.jit(lambda u: codes_by_usage(model.usage[...], u, temperature))
    return u[_most_settled(codes, u, 1.0, rng, n)]


def _most_settled(
    codes: Callable[[Any], jax.Array],
    values: np.ndarray,
    size: float,
    rng: np.random.Generator,
    n: int,
) -> np.ndarray:
    """Return the indices of the n examples with the fewest codes that change."""
    first, changed = codes(values), np.zeros(len(values))
    for _ in range(4):
        nudge = rng.standard_normal(values.shape).astype(np.float32) * np.float32(_NUDGE * size)
        changed += np.asarray(codes(values + nudge) != first).reshape(len(values), -1).sum(-1)
    return np.argsort(changed, kind="stable")[:n]
