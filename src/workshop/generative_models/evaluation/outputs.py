"""Outputs of a model for a data set: posteriors, reconstructions, codes, on the host."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.data import Split
from workshop.generative_models.evaluation.passes import (
    Progress,
    features_of,
    in_passes,
    run_over,
)


def posteriors(model: Any, split: Split, *, progress: Progress = iter) -> dict[str, np.ndarray]:
    """Return {"mean", "log_var"} of q(z|x) of each example, (n, latents); maps are flattened.

    The mean of a model with codes is its encoding before quantization, which the decoder never
    sees: to measure what its latents hold use `representations`. Where the encoder overflows on
    finite data they are those of N(0, I); see `finite_features`.
    """
    found = run_over(model, _encode, split, progress=progress)
    return {name: array.reshape(len(array), -1) for name, array in found.items()}


def representations(model: Any, split: Split, *, progress: Progress = iter) -> np.ndarray:
    """Return what the decoder reads of each example when nothing is drawn, (n, latents).

    That is the mean of q(z|x), or z_q, the vectors of the codes, of a model with codes; maps are
    flattened. `representation_of` names it.
    """
    found = run_over(model, _represent, split, progress=progress)
    return found.reshape(len(found), -1)


def divergences(model: Any, split: Split, *, progress: Progress = iter) -> np.ndarray:
    """Return KL(q(z|x) ‖ p(z)) of each example in nats: (n, latents) if it is a sum, else (n,).

    Where there is no closed form it is estimated from one sample of z.
    """
    return run_over(model, _divergences, split, progress=progress)


def activity(model: Any, split: Split) -> tuple[np.ndarray, bool]:
    """Return how active each latent is, and whether that is a KL in nats.

    It is the mean KL of a latent where the KL is a sum over latents. Otherwise it is the variance
    over examples of its mean, or of a model with codes that of a channel of the codes' vectors.
    """
    if model.has_codes:
        vectors = representations(model, split)
        return vectors.reshape(-1, model.latent_shape[-1]).var(axis=0), False
    if model.has_density:
        kl = divergences(model, split)
        if kl.ndim == 2:
            return kl.mean(axis=0), True
    return posteriors(model, split)["mean"].var(axis=0), False


def representation_of(model: Any) -> str:
    """Return the name of what `representations` gives, for tables and notes."""
    return "vectors of the codes, z_q" if model.has_codes else "means of q(z|x)"


def reconstructions(
    model: Any, split: Split, *, progress: Progress = iter
) -> dict[str, np.ndarray]:
    """Return {"x": what the model makes of the means, "loss": -log p(x|z) of each in nats}."""
    return run_over(model, _reconstruct, split, progress=progress)


def of_reconstructions(
    model: Any,
    split: Split,
    measure: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]],
    *,
    progress: Progress = iter,
) -> dict[str, np.ndarray]:
    """Return `measure(reconstructions, indices)` of all examples, a pass at a time.

    The reconstructions themselves, as large as the data, are not kept.
    """

    def one_pass(index: np.ndarray) -> dict[str, np.ndarray]:
        return measure(reconstructions(model, split.take(index))["x"], index)

    return in_passes(one_pass, len(split), progress=progress)


def code_indices(model: Any, split: Split, *, progress: Progress = iter) -> np.ndarray:
    """Return the codes that a discrete model gives examples, (n, *code_shape)."""
    return run_over(model, _indices, split, progress=progress)["indices"]


def scaled(x: np.ndarray) -> np.ndarray:
    """Return data as the model reads it: bytes scaled to [0, 1]."""
    return x / np.float32(255) if x.dtype == np.uint8 else x


def _encode(model: Any, x: jax.Array, **condition: Any) -> dict[str, jax.Array]:
    mean, log_var = model.mean_and_log_var(features_of(model, x, **condition))
    return {"mean": mean, "log_var": log_var}


def _represent(model: Any, x: jax.Array, **condition: Any) -> jax.Array:
    features = features_of(model, x, **condition)
    return model.infer(features, condition, deterministic=True).z[0]


def _divergences(model: Any, x: jax.Array, **condition: Any) -> jax.Array:
    features = features_of(model, x, **condition)
    return model.infer(features, condition, rngs=nnx.Rngs(0)).kl()


def _reconstruct(model: Any, x: jax.Array, **condition: Any) -> dict[str, jax.Array]:
    z = _represent(model, x, **condition)
    log_p = model.conditional_log_prob(x, z, **condition)
    return {
        "x": model.decode(z, **condition),
        "loss": -jnp.where(jnp.isnan(log_p), -jnp.inf, log_p),
    }


def _indices(model: Any, x: jax.Array) -> dict[str, jax.Array]:
    return {"indices": model.encode_indices(x)}
