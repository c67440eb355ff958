"""The evidence lower bound of each example, its two terms, and a fixed scale to compute it by."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from ...core.building import restated
from ...core.checks import positive_int
from ...core.likelihoods import LocationScale
from ..passes import Progress, restored
from . import weighing
from .weighing import Batch, drawn, encoded, log_given, run_steps


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

    the expectation by the mean over samples, and so the divergence where it has no closed form.

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
        >>> terms = elbo_terms(model, x)
        >>> (elbo(model, x) == -(terms["kl_loss"] + terms["reconstruction_loss"])).all()
        np.True_
    """
    terms = elbo_terms(model, x, y, samples=samples, seed=seed, progress=progress)
    return -(terms["kl_loss"] + terms["reconstruction_loss"])


def elbo_terms(
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
        "kl_loss", KL(q(z|x) ‖ p(z)), and "reconstruction_loss", -E_q(z|x)[log p(x|z)].

    References:
        Alemi et al., Fixing a Broken ELBO, ICML 2018.
    """
    samples = positive_int("samples", samples)
    split = weighing.examples_to_bound("elbo", model, x, y, codes=True)
    return run_steps(
        _no_terms, _add_terms, lambda means: means, model, split, samples,
        seed=seed, progress=progress,
    )  # fmt: skip


def terms_of(
    graphdef: nnx.GraphDef, state: Any, batch: Batch, samples: Int[Array, ""]
) -> dict[str, jax.Array]:
    """Return the terms of a batch in one call: means over samples."""
    means, first = _no_terms(graphdef, state, batch), jnp.zeros_like(samples)
    return _add_terms(graphdef, state, batch, means, first, samples)


def _no_terms(_graphdef: nnx.GraphDef, _state: Any, batch: Batch) -> dict[str, jax.Array]:
    zeros = jnp.zeros(len(batch.x))
    return {"kl_loss": zeros, "reconstruction_loss": zeros}


@functools.partial(jax.jit, static_argnames=("graphdef",))
def _add_terms(
    graphdef: nnx.GraphDef,
    state: Any,
    batch: Batch,
    means: dict[str, jax.Array],
    first: Int[Array, ""],
    last: Int[Array, ""],
) -> dict[str, jax.Array]:
    """Return the terms of a batch with the samples from `first` to before `last`."""
    model = restored(graphdef, state)
    features = encoded(model, batch)

    def add(number: jax.Array, means: dict[str, jax.Array]) -> dict[str, jax.Array]:
        inference = drawn(model, features, batch, number)
        log_p = log_given(model, batch, inference.z[0])
        kl = inference.kl().reshape(len(batch.x), -1).sum(-1)
        terms = {"kl_loss": kl, "reconstruction_loss": -log_p}

        # A mean and not a sum, which would lose digits as it grows. Once infinite it stays so.
        def moved(mean: jax.Array, term: jax.Array) -> jax.Array:
            return jnp.where(jnp.isinf(mean), mean, mean + (term - mean) / (number + 1))

        return jax.tree.map(moved, means, terms)

    return jax.lax.fori_loop(first, last, add, means)


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
        progress: see `passes.Progress`.

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
    split = weighing.examples_of("fix_scale", model, x, y)
    scales = run_steps(
        _scales_of, lambda *carried: carried[3], lambda scales: scales, model, split, 1,
        seed=seed, progress=progress,
    )  # fmt: skip
    # The best scale is a power mean of errors, so that of the examples' scales it is that of all.
    scale = float(likelihood.best_scale(jnp.asarray(scales)))
    fixed = nnx.clone(model)
    fixed.likelihood = likelihood.with_scale(scale)
    fixed.config = None if model.config is None else restated(model.config, {"scale": scale})
    return fixed


@functools.partial(jax.jit, static_argnames=("graphdef",))
def _scales_of(graphdef: nnx.GraphDef, state: Any, batch: Batch) -> Float[Array, " batch"]:
    """Return the best scale of each example alone, as the likelihood's `scale` counts it."""
    model = restored(graphdef, state)
    best = model.likelihood.with_scale("optimal")
    z = drawn(model, encoded(model, batch), batch, jnp.asarray(0)).z[0]
    means = model.decode(z, rngs=nnx.Rngs(batch.keys[0]), **batch.condition)
    x, _ = model.as_batch(batch.x)
    return jax.vmap(lambda mean, x: best.relative_scale(mean[None], x[None]))(means, x)
