"""The arguments of a prior over codes, checked: codes, masks, labels, and how codes are chosen."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Int

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import is_concrete, read_labels
from workshop.generative_models.models.vae.code_sampling import Choice
from workshop.generative_models.models.vae.latent_space import check_temperature


def check_codes(prior: Any, x: Any) -> None:
    """Raise a ValueError unless x is a batch of codes that fit the prior."""
    integers = jnp.issubdtype(x.dtype, jnp.integer)
    if x.shape[1:] != prior.code_shape or not len(x) or not integers:
        raise ValueError(
            f"x has shape {x.shape} and type {x.dtype}: expected integer codes (batch, "
            f"{', '.join(map(str, prior.code_shape))}), at least one, as encode_indices gives"
        )
    way_out = "codebook_size; for -1, encode without masks and with all stages"
    _check_range("x", x, "code", prior.codebook_size, way_out)


def labels_of(prior: Any, y: Any, batch: int) -> Int[Array, " batch"]:
    """Return checked labels of a batch as rows of the prior's `classes`."""
    if y is None:
        return jnp.full((batch,), prior.no_class, jnp.int32)
    if prior.num_classes is None:
        raise ValueError("y: this prior has no classes; leave y out, or build with num_classes")
    y = read_labels("y", y)
    if y.shape not in ((), (batch,)) or not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(
            f"y has shape {y.shape} and type {y.dtype}: expected integer labels ({batch},), or "
            "one for all"
        )
    _check_range("y", y, "label", prior.num_classes, "num_classes")
    return jnp.broadcast_to(jnp.asarray(y).astype(jnp.int32), (batch,))


def read_known(prior: Any, codes: Any, known: Any) -> tuple[jax.Array, jax.Array, bool]:
    """Return checked codes and their mask as a batch, and whether they were one example's."""
    codes, known = (a if hasattr(a, "dtype") else np.asarray(a) for a in (codes, known))
    single = codes.shape == prior.code_shape
    batch = codes[None] if single else codes
    integers = jnp.issubdtype(codes.dtype, jnp.integer)
    if batch.shape[1:] != prior.code_shape or not len(batch) or not integers:
        raise ValueError(
            f"codes have shape {codes.shape} and type {codes.dtype}: expected integers (batch, "
            f"{', '.join(map(str, prior.code_shape))}), or one example's {prior.code_shape}"
        )
    if known.dtype != bool or known.shape not in (prior.code_shape, codes.shape):
        raise ValueError(
            f"known has shape {known.shape} and type {known.dtype}: expected booleans of shape "
            f"{prior.code_shape} or {codes.shape}, True where a code is kept"
        )
    if is_concrete(codes) and is_concrete(known):
        kept = np.asarray(batch)[np.broadcast_to(known, batch.shape)]
        if kept.size:
            _check_range("codes", kept, "known code", prior.codebook_size, "codebook_size")
    return jnp.asarray(batch).astype(jnp.int32), jnp.asarray(known), single


def choice_of(
    prior: Any, temperature: ArrayLike, y: Any, guidance: ArrayLike, top_k: Any, top_p: Any
) -> Choice:
    """Return how each code is chosen, checked."""
    check_temperature(temperature)
    guided = is_guided(guidance)
    if guided and prior.num_classes is None:
        raise ValueError("guidance: this prior has no classes to guide towards; leave it at 1")
    if guided and y is None:
        raise ValueError("guidance is towards a class: pass y, or leave it at 1")
    if top_k is not None:
        top_k = jnp.asarray(checks.positive_int("top_k", top_k), jnp.int32)
    if top_p is not None and is_concrete(top_p) and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p!r}: expected 0 < top_p <= 1")
    return Choice(
        jnp.asarray(temperature, jnp.float32),
        jnp.asarray(guidance, jnp.float32) if guided else None,
        top_k,
        None if top_p is None else jnp.asarray(top_p, jnp.float32),
    )


def is_guided(guidance: ArrayLike) -> bool:
    """Say whether a strength of guidance is not 1, or not known yet, after a check of it."""
    if not is_concrete(guidance):
        return True
    checks.at_least("guidance", guidance, 0.0)
    return bool(guidance != 1)


def _check_range(name: str, values: Any, what: str, size: int, hint: str) -> None:
    if is_concrete(values):
        low, high = np.asarray(values).min(), np.asarray(values).max()
        if low < 0 or high >= size:
            raise ValueError(
                f"{name} holds {what}s from {low} to {high}: expected 0 <= {what} < {size} ({hint})"
            )
