"""Estimates of the aggregate posterior q(z) = E_x q(z|x) from a batch of examples."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from workshop.generative_models.core.distributions.base import Distribution


class AggregateLogProbs(NamedTuple):
    """Log-densities of one z, in nats."""

    own: jax.Array
    """log q(z|x) of the example that z was drawn for."""
    joint: jax.Array
    """log q(z)."""
    marginals: jax.Array
    """log q(z_j) of each latent, (latents,)."""


def aggregate_log_probs(
    q: Distribution, z: jax.Array, row: jax.Array | int, dataset_size: ArrayLike, method: str
) -> AggregateLogProbs:
    """Return log q(z|x), log q(z) and log q(z_j) of the z of example `row` of a batch.

        q(z) ≈ Σ_i w_i q(z|x_i),  q(z_j) ≈ Σ_i w_i q(z_j|x_i)

    Args:
        q: q(z|x) of a batch, which must factorise over latents.
        z: a sample of the q(z|x) of example `row`, (latents,).
        row: the example that z was drawn for.
        dataset_size: N, the number of examples that the batch is a part of.
        method: of the weights, see `log_shares`.

    References:
        Chen, Li, Grosse & Duvenaud, Isolating Sources of Disentanglement in VAEs, NeurIPS 2018,
        appendix C.
    """
    each = q.log_prob_each(z)
    weight = log_shares(row, len(each), dataset_size, method)
    return AggregateLogProbs(
        own=each[row].sum(),
        joint=logsumexp(each.sum(axis=1) + weight),
        marginals=logsumexp(each + weight[:, None], axis=0),
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
