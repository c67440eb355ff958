"""The codes of a VQ-VAE's samples: drawn from its prior, or by their usage in training."""

from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core.modules import row_keys, sample_key, warn_once
from workshop.generative_models.models.vae.chunks import chunk_size, in_chunks
from workshop.generative_models.models.vae.code_arguments import is_guided

_NO_PRIOR = (
    "VQVAE.sample draws each position's code on its own, by its usage in training: no prior over "
    "the codes is fitted (workshop prior RUN)"
)


def drawn_codes(
    model: Any,
    n_samples: int,
    temperature: ArrayLike,
    y: Any,
    rngs: nnx.Rngs | None,
    **options: Any,
) -> jax.Array:
    """Return the codes of samples, (n_samples, *code_shape); the arguments are `VQVAE.sample`'s."""
    if model.prior is None:
        _refuse_prior_options(y=y, **options)
        warn_once(model, _NO_PRIOR)
        return _by_usage(model, row_keys(rngs, model.rngs, n_samples), temperature)
    check_prior(model)
    rngs = model.rngs if rngs is None else rngs
    classes = model.prior.num_classes
    if y is None and classes is not None:
        y = jax.random.randint(sample_key(rngs), (n_samples,), 0, classes)
    return model.prior.sample(n_samples, temperature=temperature, y=y, rngs=rngs, **options)


def _by_usage(model: Any, keys: jax.Array, temperature: ArrayLike) -> jax.Array:
    """Draw codes by their usage in training, with a key for each example."""
    logits = usage_logits(model.usage[...], temperature)
    places = prod(model.code_shape)

    def one(key: jax.Array) -> jax.Array:
        return jax.random.categorical(key, logits, shape=(places,)).reshape(model.code_shape)

    return in_chunks(jax.vmap(one), keys, size=chunk_size((places, model.num_embeddings)))


def usage_logits(usage: jax.Array, temperature: ArrayLike) -> jax.Array:
    """Return log usage / temperature, even where nothing was used: (positions or 1, codes)."""
    usage = jnp.where(usage.sum(-1, keepdims=True) > 0, usage, 1.0)
    return jnp.log(usage) / jnp.maximum(temperature, 1e-6)


def check_prior(model: Any) -> None:
    """Raise a ValueError for a prior over codes of another shape or number."""
    prior = model.prior
    names = ("code_shape", "codebook_size", "codes")
    found = tuple(getattr(prior, name, None) for name in names)
    wanted = (model.code_shape, model.num_embeddings, model.quantizer.codes)
    if found != wanted:
        raise ValueError(
            f"prior has {dict(zip(names, found, strict=True))}, but this model's codes have "
            f"{dict(zip(names, wanted, strict=True))}: fit one to codes of this model"
        )


def _refuse_prior_options(*, y: Any, guidance: ArrayLike, top_k: Any, top_p: Any) -> None:
    """Raise a ValueError for options that need a fitted prior."""
    given = {"y": y, "guidance": is_guided(guidance) or None, "top_k": top_k, "top_p": top_p}
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} is what a prior reads, and this model has none: fit one")
