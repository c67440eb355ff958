"""log p(x) by importance sampling: many samples of q(z|x), each weighed by p(x, z) / q(z|x)."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from ...core.checks import positive_int
from ..passes import Progress, restored
from . import weighing
from .weighing import Batch

_FEWEST = 64
"""Samples that a step takes of each example, or all if they are fewer; more where there are too few
examples to fill a step. With more from the start the encoder would work on small batches."""


class Sums(NamedTuple):
    """Weights summed up so far, for each example: none is kept, so that memory stays flat."""

    largest: Float[Array, " batch"]
    """log of the largest weight."""
    total: Float[Array, " batch"]
    """Σ w, in units of the largest."""
    squares: Float[Array, " batch"]
    """Σ w², in its square."""

    def add(self, log_w: Float[Array, "samples batch"]) -> "Sums":
        """Return the sums with more weights in them."""
        largest = jnp.maximum(self.largest, log_w.max(0))
        unit = jnp.where(jnp.isneginf(largest), 0.0, largest)  # all weights zero: -inf - -inf
        before, w = jnp.exp(self.largest - unit), jnp.exp(log_w - unit)
        return Sums(
            largest,
            self.total * before + w.sum(0),
            self.squares * before**2 + jnp.square(w).sum(0),
        )

    @jax.jit
    def estimates(self, samples: Int[Array, ""]) -> dict[str, Float[Array, " batch"]]:
        """Return what `importance_sampling` does, for a number of samples."""
        return {
            "bound": self.largest + jnp.log(self.total) - jnp.log(samples),
            "effective_samples": jnp.square(self.total) / jnp.maximum(self.squares, 1e-30),
        }


def importance_weighted_bound(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    samples: int = 5000,
    seed: int = 0,
    progress: Progress = iter,
) -> Float[np.ndarray, " n"]:
    r"""Return the importance-weighted bound on log p(x) of each example, in nats.

        L_K = log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x),  z_k ~ q(z|x),

    whose expectation rises with K from the ELBO to log p(x). Where a few of the weights outweigh
    all the others (see `importance_sampling`), it is still far below.

    Args:
        model: a VAE whose q(z|x) has a density.
        x: (n, *event), or a `Split`.
        y: labels (n,) or one for all, if the model is conditional.
        samples: K.
        seed: of the samples. Each depends on the seed, the number of its example in x and its own
            number alone.
        progress: see `evaluation.passes.Progress`; cut short, the examples done are returned.

    Raises:
        ValueError: for data that does not fit the model, a model whose latents are codes, or a
            scale that is chosen by each batch (see `fix_scale`).

    References:
        Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, ICLR 2016.

    Examples:
        >>> from workshop.generative_models.models.vae import VAE, MLPDecoder, MLPEncoder
        >>> rngs = nnx.Rngs(0)
        >>> model = VAE(MLPEncoder([8], 2, "relu", (5,), rngs=rngs),
        ...             MLPDecoder([8], (5,), 2, rngs=rngs), 2, likelihood="bce", rngs=rngs)
        >>> importance_weighted_bound(model, np.ones((3, 5)), samples=100).shape
        (3,)
    """
    return importance_sampling(model, x, y, samples=samples, seed=seed, progress=progress)["bound"]


def importance_sampling(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    samples: int = 5000,
    seed: int = 0,
    progress: Progress = iter,
) -> dict[str, Float[np.ndarray, " n"]]:
    """Return the importance-weighted bound of each example, and how many samples carry it.

    The arguments and errors are those of `importance_weighted_bound`.

    Returns:
        "bound", and "effective_samples", (Σ w)² / Σ w² of the weights w, from 1 to K: near 1 the
        bound hangs on one sample, and more of them, or annealing, would raise it.

    References:
        Kong, Liu & Wong, Sequential Imputations and Bayesian Missing Data Problems, JASA 1994.
    """
    samples = positive_int("samples", samples)
    split = weighing.examples_to_bound("importance_weighted_bound", model, x, y)
    size, step = layout(weighing.rows_of(model, split), len(split), samples)
    count = jnp.asarray(samples)
    return weighing.run_steps(
        _no_samples,
        functools.partial(add_samples, samples=count, step=step),
        lambda sums: sums.estimates(count),
        model, split, -(-samples // step), size=size, seed=seed, progress=progress,
    )  # fmt: skip


def layout(rows: int, examples: int, samples: int) -> tuple[int, int]:
    """Return how many examples a pass has, and how many samples of each a step: `rows` at most."""
    size = min(examples, max(1, rows // min(samples, _FEWEST)))
    return size, min(samples, max(1, rows // size))


def bound_of(
    graphdef: nnx.GraphDef, state: Any, batch: Batch, samples: Int[Array, ""], *, step: int
) -> dict[str, jax.Array]:
    """Return the bound of a batch in one call, from `step` samples of each example at a time."""
    last, sums = -(-samples // step), _no_samples(graphdef, state, batch)
    first = jnp.zeros_like(last)
    sums = add_samples(graphdef, state, batch, sums, first, last, samples, step=step)
    return sums.estimates(samples)


def _no_samples(_graphdef: nnx.GraphDef, _state: Any, batch: Batch) -> Sums:
    zeros = jnp.zeros(len(batch.x))
    return Sums(zeros - jnp.inf, zeros, zeros)


@functools.partial(jax.jit, static_argnames=("graphdef", "step"))
def add_samples(
    graphdef: nnx.GraphDef,
    state: Any,
    batch: Batch,
    sums: Sums,
    first: Int[Array, ""],
    last: Int[Array, ""],
    samples: Int[Array, ""],
    *,
    step: int,
) -> Sums:
    """Return the sums with the weights of the steps from `first` to before `last` in them."""
    model = restored(graphdef, state)
    features = weighing.encoded(model, batch)

    def add(i: jax.Array, sums: Sums) -> Sums:
        number = i * step + jnp.arange(step)
        keys = weighing.sample_keys(batch.keys, number)
        z, log_q = weighing.samples_of(model, features, keys, batch)
        log_w = weighing.log_joint(model, batch, z) - log_q
        # The last step may have more than are wanted.
        return sums.add(jnp.where((number < samples)[:, None], log_w, -jnp.inf))

    return jax.lax.fori_loop(first, last, add, sums)
