"""The evidence lower bound of each example and its two terms."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from workshop.generative_models.core.checks import positive_int
from workshop.generative_models.evaluation.bounds.scale import refuse_moving_scale
from workshop.generative_models.evaluation.bounds.weighing import (
    Batch,
    drawn,
    encoded,
    examples_of,
    log_given,
    refuse_no_density,
    run_steps,
)
from workshop.generative_models.evaluation.passes import Progress, restored


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
    """Return the terms of a batch in one call: means over samples."""
    first = jnp.zeros_like(samples)
    return add_terms(graphdef, state, batch, no_terms(batch), first, samples)


def no_terms(batch: Batch) -> dict[str, jax.Array]:
    """Return the means before the first sample."""
    zeros = jnp.zeros(len(batch.x))
    return {"kl_loss": zeros, "reconstruction_loss": zeros}


@functools.partial(jax.jit, static_argnames=("graphdef",))
def add_terms(
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
