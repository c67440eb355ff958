"""The codes of a VQ-VAE's samples: drawn from its prior, or by their usage in training."""

from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core.modules import sample_key, warn_once
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
    """Return the codes of samples, (n_samples, *code_shape).

    Args:
        model: a `VQVAE`.
        n_samples: number of samples.
        temperature: above 1 evens the choices out, below 1 sharpens them.
        y: classes, of a prior that was fitted to labels; drawn evenly if None.
        rngs: source of the samples; the model's own if None.
        options: guidance, top_k and top_p of a prior.

    Raises:
        ValueError: for y or options without a fitted prior.
    """
    if model.prior is None:
        _refuse_prior_options(y=y, **options)
        warn_once(model, _NO_PRIOR)
        return _by_usage(model, model._row_keys(rngs, n_samples), temperature)
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

    def rows(keys: jax.Array, _: None) -> jax.Array:
        def one(key: jax.Array) -> jax.Array:
            return jax.random.categorical(key, logits, shape=(places,))

        return jax.vmap(one)(keys).reshape(len(keys), *model.code_shape)

    size = chunk_size((places, model.num_embeddings))
    return in_chunks(rows, keys, size=size, shared=None, networks=())


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
    given = {"y": y is not None, "guidance": is_guided(guidance),
             "top_k": top_k is not None, "top_p": top_p is not None}  # fmt: skip
    for name in (name for name, is_given in given.items() if is_given):
        raise ValueError(f"{name} is what a prior reads, and this model has none: fit one")
