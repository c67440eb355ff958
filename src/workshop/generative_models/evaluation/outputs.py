"""Outputs of a model for a data set: posteriors, reconstructions, codes, on the host."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ..data import Split
from .passes import Progress, features_of, run_over


def posteriors(model: Any, split: Split, *, progress: Progress = iter) -> dict[str, np.ndarray]:
    """Return {"mean", "log_var"} of q(z|x) of each example, (n, latents); maps are flattened.

    The mean of a model with codes is its encoding before quantization, which the decoder never
    sees: to measure what its latents hold use `representations`. Where the encoder overflows on
    finite data they are those of N(0, I); see `passes.features_of`.
    """
    found = run_over(model, _encode, split, progress=progress)
    return {name: array.reshape(len(array), -1) for name, array in found.items()}


def coordinates(model: Any, mean: np.ndarray) -> np.ndarray:
    """Return means of q(z|x) (n, latents) in coordinates of their space.

    They are the means themselves in R^n. In the coordinates of a sphere or a ball the usual prior
    has unit variances too, so that variances compare; see `core.supports`.
    """
    return np.asarray(model.support.coordinates(jnp.asarray(mean)))


def representations(model: Any, split: Split, *, progress: Progress = iter) -> np.ndarray:
    """Return the mean of q(z|x) of each example, or the vectors of its codes, (n, latents)."""
    found = run_over(model, _represent, split, progress=progress)
    return found.reshape(len(found), -1)


def divergences(model: Any, split: Split, *, progress: Progress = iter) -> np.ndarray:
    """Return KL(q(z|x) ‖ p(z)) of each example in nats: (n, latents) if it is a sum, else (n,)."""
    return run_over(model, _divergences, split, progress=progress)


def activity(model: Any, split: Split) -> tuple[np.ndarray, bool]:
    """Return the mean KL of each latent in nats and True, or its variance over examples and False.

    The variance is that of its mean, or of a model with codes that of a channel of their vectors.
    """
    if model.has_codes:
        vectors = representations(model, split)
        return vectors.reshape(-1, model.latent_shape[-1]).var(axis=0), False
    if model.has_density:
        kl = divergences(model, split)
        if kl.ndim == 2:
            return kl.mean(axis=0), True
    return coordinates(model, posteriors(model, split)["mean"]).var(axis=0), False


def representation_of(model: Any) -> str:
    """Return the name of what `representations` gives, for tables and notes."""
    return "vectors of the codes, z_q" if model.has_codes else "means of q(z|x)"


def reconstructions(
    model: Any, split: Split, *, progress: Progress = iter
) -> dict[str, np.ndarray]:
    """Return {"x": what the model makes of the means, "loss": -log p(x|z) of each in nats}."""
    return run_over(model, _reconstruct, split, progress=progress)


def code_indices(model: Any, split: Split, *, progress: Progress = iter) -> np.ndarray:
    """Return the codes that a discrete model gives examples, (n, *code_shape)."""
    return run_over(model, _indices, split, progress=progress)["indices"]


def own_conditions(model: Any, split: Split) -> np.ndarray | None:
    """Return conditions of examples to sample with, where they are no classes to go through."""
    classes = model.reads_classes and split.labels is not None
    return split.y if model.conditional and not classes else None


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
    return model.infer(features, condition, x=x, rngs=nnx.Rngs(0)).kl()


def _reconstruct(model: Any, x: jax.Array, **condition: Any) -> dict[str, jax.Array]:
    z = _represent(model, x, **condition)
    log_p = model.conditional_log_prob(x, z, **condition)
    return {
        "x": model.decode(z, **condition),
        "loss": -jnp.where(jnp.isnan(log_p), -jnp.inf, log_p),
    }


def _indices(model: Any, x: jax.Array) -> dict[str, jax.Array]:
    return {"indices": model.encode_indices(x)}
