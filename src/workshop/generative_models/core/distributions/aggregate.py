"""Estimates of the aggregate posterior q(z) = E_x q(z|x) from a batch of examples."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from workshop.generative_models.core.distributions.base import Distribution


class AggregateLogProbs(NamedTuple):
    """Log-densities of samples of z, in nats."""

    own: Float[Array, " rows"]
    """log q(z|x) of the example that z was drawn for."""
    joint: Float[Array, " rows"]
    """log q(z)."""
    marginals: Float[Array, "latents rows"]
    """log q(z_j)."""


def aggregate_log_probs(
    q: Distribution,
    z: Float[Array, "rows latents"],
    rows: Int[Array, " rows"],
    dataset_size: ArrayLike,
    method: str,
) -> AggregateLogProbs:
    """Return log q(z|x), log q(z) and log q(z_j) of the z of some examples of a batch.

        q(z) ≈ Σ_i w_i q(z|x_i),  q(z_j) ≈ Σ_i w_i q(z_j|x_i)

    Args:
        q: q(z|x) of the batch, which factorises over latents: the last axis of all of its arrays.
        z: a sample of q(z|x) of each of these examples.
        rows: which examples of the batch they are.
        dataset_size: N, the number of examples that the batch is a part of.
        method: of the weights w, see `log_shares`.

    References:
        Chen, Li, Grosse & Duvenaud, Isolating Sources of Disentanglement in VAEs, NeurIPS 2018,
        appendix C.
    """

    def of_latent(q: Distribution, z: jax.Array) -> jax.Array:
        q = jax.tree.map(lambda a: a[:, None], q)
        return q.log_prob_each(z[:, None, None])[..., 0]

    # Latents are the first axis, (latents, rows, examples): sums then run over adjacent numbers,
    # which on a CPU takes a third of the time.
    each = jax.vmap(of_latent, in_axes=-1)(q, z)
    size, together = each.shape[-1], each.sum(axis=0)
    weights = jax.vmap(lambda row: log_shares(row, size, dataset_size, method))(rows)
    return AggregateLogProbs(
        own=jnp.take_along_axis(together, rows[:, None], axis=1)[:, 0],
        joint=logsumexp(together + weights, axis=1),
        marginals=logsumexp(each + weights, axis=2),
    )


def log_shares(
    row: jax.Array | int, size: int, dataset_size: ArrayLike, method: str
) -> Float[Array, " size"]:
    """Return the logarithm of each example's weight in q(z), for the z of example `row`.

    - "all": 1/M each, for a batch that is the whole.
    - "mws", minibatch-weighted sampling: 1/(N M) each.
    - "mss", minibatch-stratified sampling: of M + 1 examples 1/N for the one that z came from,
      (N - M)/(N M) for the next one, and 1/M for the others.
    """
    if method == "all":
        return jnp.full(size, -jnp.log(size))
    if method == "mws":
        return jnp.full(size, -jnp.log(dataset_size * jnp.float32(size)))
    # Of M + 1 examples the one that z came from counts 1/N and one other carries what is missing
    # to 1. The authors' code gives these weights to the first two columns of each row instead.
    column, others = jnp.arange(size), max(size - 1, 1)
    rest = (dataset_size - jnp.float32(others)) / (dataset_size * jnp.float32(others))
    weight = jnp.where(column == (row + 1) % size, rest, 1 / others)
    return jnp.log(jnp.where(column == row, 1 / dataset_size, weight))
