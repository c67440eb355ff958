"""How likely a model finds examples: bounds on log p(x) and estimates of it, in nats per example.

From the loosest to the strictest: `elbo`, `importance_weighted_bound`,
`annealed_importance_sampling`. Under a density they compare models of the same data in the same
units; `mse` is no normalised density, and compares only with itself.
`core.likelihoods.bits_per_dim` gives them in bits per dimension.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from workshop.generative_models.core.building import restated
from workshop.generative_models.core.checks import positive_int
from workshop.generative_models.core.keys import sample_key
from workshop.generative_models.core.likelihoods import LocationScale
from workshop.generative_models.evaluation.annealing import (
    annealed_importance_sampling,
    annealed_log_weights,
)
from workshop.generative_models.evaluation.importance import (
    importance_sampling,
    importance_weighted_bound,
)
from workshop.generative_models.evaluation.passes import Progress
from workshop.generative_models.evaluation.weighing import (
    Batch,
    encoded,
    examples_of,
    has_codes,
    log_given,
    refuse_moving_scale,
    refuse_no_density,
    restored,
    run_passes,
    run_steps,
    sample_keys,
    samples_of,
)

__all__ = [
    "annealed_importance_sampling",
    "annealed_log_weights",
    "elbo",
    "fix_scale",
    "importance_sampling",
    "importance_weighted_bound",
    "rate_and_distortion",
]


def elbo(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    samples: int = 1,
    seed: int = 0,
    progress: Progress = iter,
) -> Float[np.ndarray, " n"]:
    r"""Return the evidence lower bound of each example, in nats: what training maximises at β = 1.

        ELBO(x) = E_q(z|x)[log p(x|z)] - KL(q(z|x) ‖ p(z)) ≤ log p(x),

    the divergence in closed form, the expectation by the mean over samples.

    Args:
        model: a VAE of any kind.
        x: (n, *event), or a `Split`.
        y: labels (n,) or one for all, if the model is conditional.
        samples: of z, for each example.
        seed: of the samples. Each depends on the seed, the number of its example in x and its own
            number alone.
        progress: see `evaluation.passes.Progress`; cut short, the examples done are returned.

    Raises:
        ValueError: for data that does not fit the model, or a scale that is chosen by each batch
            (see `fix_scale`).

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014.

    Examples:
        >>> from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
        >>> rngs = nnx.Rngs(0)
        >>> model = VAE(MLPEncoder([8], 2, "relu", (5,), rngs=rngs),
        ...             MLPDecoder([8], (5,), 2, rngs=rngs), 2, likelihood="bce", rngs=rngs)
        >>> x = np.ones((3, 5))
        >>> terms = rate_and_distortion(model, x)
        >>> (elbo(model, x) == -(terms["rate"] + terms["distortion"])).all()
        np.True_
    """
    terms = rate_and_distortion(model, x, y, samples=samples, seed=seed, progress=progress)
    return -(terms["rate"] + terms["distortion"])


def rate_and_distortion(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    samples: int = 1,
    seed: int = 0,
    progress: Progress = iter,
) -> dict[str, Float[np.ndarray, " n"]]:
    """Return the two terms of the ELBO of each example, in nats.

    The arguments and errors are those of `elbo`.

    Returns:
        "rate", KL(q(z|x) ‖ p(z)), and "distortion", -E_q(z|x)[log p(x|z)].

    References:
        Alemi et al., Fixing a Broken ELBO, ICML 2018.
    """
    samples = positive_int("samples", samples)
    refuse_no_density("elbo", model)
    refuse_moving_scale("elbo", model)
    split = examples_of("elbo", model, x, y)

    return run_steps(
        lambda _graphdef, _state, batch: no_terms(batch),
        add_terms,
        lambda means: means,
        model, split, samples, seed=seed, progress=progress,
    )  # fmt: skip


def terms_of(
    graphdef: nnx.GraphDef, state: Any, batch: Batch, samples: Int[Array, ""]
) -> dict[str, jax.Array]:
    """Return rate and distortion of a batch in one call: means over samples."""
    first = jnp.zeros_like(samples)
    return add_terms(graphdef, state, batch, no_terms(batch), first, samples)


def no_terms(batch: Batch) -> dict[str, jax.Array]:
    """Return the means before the first sample."""
    zeros = jnp.zeros(len(batch.x))
    return {"rate": zeros, "distortion": zeros}


@functools.partial(jax.jit, static_argnames=("graphdef",))
def add_terms(
    graphdef: nnx.GraphDef,
    state: Any,
    batch: Batch,
    means: dict[str, jax.Array],
    first: Int[Array, ""],
    last: Int[Array, ""],
) -> dict[str, jax.Array]:
    """Return rate and distortion of a batch with the samples from `first` to before `last`."""
    model = restored(graphdef, state)
    features = encoded(model, batch)

    def add(number: jax.Array, means: dict[str, jax.Array]) -> dict[str, jax.Array]:
        inference = drawn(model, features, batch, number)
        log_p = log_given(model, batch, inference.z[0])
        rate = inference.kl().reshape(len(batch.x), -1).sum(-1)
        terms = {"rate": rate, "distortion": -log_p}
        return jax.tree.map(functools.partial(moved_mean, count=number), means, terms)

    return jax.lax.fori_loop(first, last, add, means)


def moved_mean(
    mean: Float[Array, " batch"], term: Float[Array, " batch"], count: Int[Array, ""]
) -> Float[Array, " batch"]:
    """Return the mean of one term more, where `count` terms have the given mean.

    A mean and not a sum, which would lose digits as it grows. Once infinite it stays so: inf - inf
    would be NaN.
    """
    return jnp.where(jnp.isinf(mean), mean, mean + (term - mean) / (count + 1))


def drawn(model: Any, features: dict[str, jax.Array], batch: Batch, number: Int[Array, ""]) -> Any:
    """Return one sample of the latents of each example, an `Inference`."""
    if has_codes(model):
        return model.infer(features, batch.condition, deterministic=True)
    q = model.posterior(features)
    # As a model draws that is given the key of the example and sample as `rngs`.
    keys = jax.vmap(lambda key: sample_key(nnx.Rngs(key)))(sample_keys(batch.keys, number[None])[0])
    z, log_q = samples_of(q, keys[None])
    return model.inferred(q, z, log_q, batch.condition)


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
        >>> 0 < fix_scale(model, np.ones((3, 5))).likelihood.scale < 1
        True
    """
    likelihood = model.likelihood
    if not isinstance(likelihood, LocationScale):
        raise ValueError(
            f"fix_scale: the likelihood {type(likelihood).__name__} has no scale to fix: use the "
            "model as it is"
        )
    split = examples_of("fix_scale", model, x, y)
    scales = run_passes(scales_of, model, split, seed=seed, progress=progress)
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
