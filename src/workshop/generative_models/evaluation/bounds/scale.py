"""Replacement of a scale that is computed from each batch by a fixed one."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from workshop.generative_models.core.building import restated
from workshop.generative_models.core.likelihoods import LocationScale
from workshop.generative_models.evaluation.bounds.weighing import (
    Batch,
    drawn,
    encoded,
    examples_of,
    run_steps,
)
from workshop.generative_models.evaluation.passes import Progress, restored


def has_moving_scale(model: Any) -> bool:
    """Return whether the likelihood's scale is computed from the whole batch."""
    return getattr(model.likelihood, "scale", None) == "optimal"


def refuse_moving_scale(where: str, model: Any) -> None:
    """Raise a ValueError for a likelihood whose scale is computed from the whole batch."""
    if has_moving_scale(model):
        raise ValueError(
            f"{where}: the likelihood's scale='optimal' is chosen by each batch, which is no "
            "density of one example: pass fix_scale(model, training_data) in place of the model"
        )


def fix_scale(
    model: Any, x: Any, y: Any = None, *, seed: int = 0, progress: Progress = iter
) -> Any:
    """Return a copy of a model whose likelihood has one scale, the best for these examples.

    That is the maximum-likelihood scale over all of them together, one sample of z each: the root
    mean squared error under a gaussian likelihood, the mean absolute one under laplace.

    Args:
        model: a VAE with a gaussian or laplace likelihood, such as one with scale="optimal".
        x: (n, *event), or a `Split`: training data, not the data that is scored.
        y: labels (n,) or one for all, if the model is conditional.
        seed: of the samples.
        progress: see `evaluation.passes.Progress`.

    Raises:
        ValueError: if the likelihood has no scale in closed form, or data does not fit the model.

    References:
        Rybkin, Daniilidis & Levine, Simple and Effective VAE Training with Calibrated Decoders,
        ICML 2021.

    Examples:
        >>> from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
        >>> rngs = nnx.Rngs(0)
        >>> model = VAE(MLPEncoder([8], 2, "relu", (5,), rngs=rngs),
        ...             MLPDecoder([8], (5,), 2, rngs=rngs), 2, likelihood="gaussian",
        ...             scale="optimal", rngs=rngs)
        >>> 0 < fix_scale(model, jnp.ones((3, 5))).likelihood.scale < 1
        True
    """
    likelihood = model.likelihood
    if not isinstance(likelihood, LocationScale):
        raise ValueError(
            f"fix_scale: the likelihood {type(likelihood).__name__} has no scale to fix: use the "
            "model as it is"
        )
    split = examples_of("fix_scale", model, x, y)
    scales = run_steps(
        scales_of,
        lambda _graphdef, _state, _batch, scales, _first, _last: scales,
        lambda scales: scales,
        model, split, 1, seed=seed, progress=progress,
    )  # fmt: skip
    # The best scale is a power mean of errors, so that of the examples' scales it is that of all.
    scale = float(likelihood.best_scale(jnp.asarray(scales)))
    fixed = nnx.clone(model)
    fixed.likelihood = likelihood.with_scale(scale)
    fixed.config = None if model.config is None else restated(model.config, {"scale": scale})
    return fixed


@functools.partial(jax.jit, static_argnames=("graphdef",))
def scales_of(graphdef: nnx.GraphDef, state: Any, batch: Batch) -> Float[Array, " batch"]:
    """Return the best scale of each example alone, as the likelihood's `scale` counts it."""
    model = restored(graphdef, state)
    best = model.likelihood.with_scale("optimal")
    z = drawn(model, encoded(model, batch), batch, jnp.asarray(0)).z[0]
    means = model.decode(z, rngs=nnx.Rngs(batch.keys[0]), **batch.condition)
    x, _ = model.as_batch(batch.x)
    return jax.vmap(lambda mean, x: best.relative_scale(mean[None], x[None]))(means, x)
