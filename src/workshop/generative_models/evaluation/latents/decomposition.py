"""What the KL is made of: information about x, dependence between latents, distance of each."""

from dataclasses import replace
from functools import partial
from math import log

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from workshop.generative_models.core.checks import one_of, positive_int
from workshop.generative_models.core.distributions import DiagonalNormal, StandardNormal
from workshop.generative_models.core.pace import Pace
from workshop.generative_models.evaluation.estimates import Estimate, mean_of
from workshop.generative_models.evaluation.latents.units import example_kl, read_parameters

BLOCK = 2**21
"""Log-densities that are held at a time: 8 MiB of float32, which stay in the cache."""
BATCH = 64
METHODS = {
    "all": "mixture of all examples",
    "mws": "minibatch weighted sampling",
    "mss": "minibatch stratified sampling",
}


def mutual_information(mean: ArrayLike, log_var: ArrayLike, *, seed: int = 0) -> Estimate:
    """Return I(x; z) under q, in nats: what a code tells about which example it came from.

        I(x; z) = E_x E_q(z|x) [log q(z|x) - log q(z)],  q(z) = 1/n Σ_i q(z|x_i)

    One z is drawn for each example and q(z) is the mixture of all n, so that no value exceeds
    log n: see `saturation` for one too near to it.

    Args:
        mean: (n, latents) means of q(z|x), n >= 2.
        log_var: (n, latents) their log-variances, clipped to [-20, 20].
        seed: of the draws of z; each example has its own.

    Raises:
        ValueError: if shapes differ or are others, or if numbers are not finite.

    References:
        Hoffman & Johnson, ELBO surgery, NIPS workshop 2016.

    Examples:
        >>> import math
        >>> told_apart = mutual_information([[0.0], [50.0], [100.0]], [[0.0]] * 3)
        >>> math.isclose(told_apart.value, math.log(3), rel_tol=1e-6)
        True
    """
    return kl_decomposition(mean, log_var, seed=seed)["mutual_information"]


def kl_decomposition(
    mean: ArrayLike,
    log_var: ArrayLike,
    *,
    method: str = "all",
    dataset_size: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Split the KL into mutual information, total correlation and dimension-wise KL, in nats.

        E_x KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ Π_j q(z_j)) + Σ_j KL(q(z_j) ‖ p(z_j))

    with p(z) = N(0, I), on which the first two parts do not depend.

    All are means over one z drawn for each example; they differ in what stands for q(z):

    - `all`: the mixture of all n examples, exact for these. For the population the errors s / √n
      hold to first order; information beyond log n is counted as total correlation, see
      `saturation`.
    - `mss`: within a batch of M + 1, q(z|x_i)/N + (N - M)/(N M) q(z|x_next) + 1/M Σ q(z|x_others)
      for the z of example i, without bias for q(z), though not for its logarithm.
    - `mws`: within a batch of M, 1/(N M) Σ_j q(z|x_j): too small for q(z) by a factor of N if
      batches are the whole, so that the information comes out high, and the total correlation of
      d latents by up to (d - 1) log N. It is made for gradients; read it only beside its like.

    Errors of `mws` and `mss` are those between batches, None for a lone one. Batches are drawn
    without replacement; examples that fill no batch are left out.

    Args:
        mean: (n, latents) means of q(z|x), n >= 2.
        log_var: (n, latents) their log-variances, clipped to [-20, 20].
        method: `all`, `mws` or `mss`.
        dataset_size: N, of which the n examples are a part; n if None. Not for `all`.
        batch_size: examples in a batch, at least 2; 64 or n if None. Not for `all`.
        seed: of the draws of z, each example has its own, and of the batches.

    Returns:
        `mutual_information`, `total_correlation` and `dimension_wise_kl`, their `sum`, which is an
        estimate of the KL from the draws, and beside it the analytic `kl`.

    Raises:
        ValueError: if shapes differ or are others, numbers are not finite, a size is out of range,
            or a size is given with `all`.

    References:
        Chen, Li, Grosse & Duvenaud, Isolating Sources of Disentanglement in VAEs, NeurIPS 2018,
        section 3 and appendix C.

    Examples:
        >>> parts = kl_decomposition([[0.0], [50.0]], [[0.0], [0.0]])
        >>> round(parts["mutual_information"].value, 3), parts["total_correlation"].value
        (0.693, 0.0)
    """
    means, log_vars = read_parameters("kl_decomposition", mean, log_var)
    order, size = _batches(len(means), method, dataset_size, batch_size, seed)
    information, correlation, marginal = log_ratios(means, log_vars, order, method, size, seed)
    parts = {
        "mutual_information": information,
        "total_correlation": correlation,
        "dimension_wise_kl": marginal.sum(axis=-1),
    }
    parts["sum"] = np.sum(list(parts.values()), axis=0)
    text = METHODS[method]
    if method != "all":
        of = f" of {size:,}" if size > len(means) else ""
        text += f", batches of {order.shape[1]:,}, {order.size:,} examples{of}"
    text += ", 1 sample of z each"
    units = {k: v[0] if method == "all" else v.mean(axis=1) for k, v in parts.items()}
    found = {k: replace(mean_of(v, text, "nats"), n=order.size) for k, v in units.items()}
    analytic = example_kl(means, log_vars).sum(axis=1)
    return {**found, "kl": mean_of(analytic, "mean over examples, analytic", "nats")}


def saturation(information: Estimate) -> str | None:
    """Say that n examples are too few for the information that the codes hold; None if they do.

    The mixture of n examples can tell e^I codes apart only if n is well above that. Where Gaussian
    codes of known information, in 2 to 16 independent latents, came within log 10 of log n, the
    estimate was 0.1 to 0.5 nats too low and the total correlation, truly 0, as much too high;
    nearer to log n both are worth little. The dimension-wise KL and the sum are not affected.

    Args:
        information: as `mutual_information`, or `kl_decomposition` by `all`, returns it.

    Examples:
        >>> told_apart = mutual_information([[0.0], [50.0], [100.0]], [[0.0]] * 3)
        >>> saturation(told_apart).split(":")[0]
        'mutual information is 1.10 of at most log 3 = 1.10 nats'
        >>> saturation(mutual_information([[0.0]] * 20, [[0.0]] * 20)) is None
        True
    """
    limit = log(information.n)
    if limit - information.value > log(10):
        return None
    return (
        f"mutual information is {information.value:.2f} of at most log {information.n:,} = "
        f"{limit:.2f} nats: what is beyond counts as total correlation; give more examples, or "
        "read the two only together"
    )


def _batches(
    n: int, method: str, dataset_size: int | None, batch_size: int | None, seed: int
) -> tuple[Int[np.ndarray, "batches size"], int]:
    """Return the examples of each batch, and the size of the data set, checked."""
    one_of("kl_decomposition: method", method, METHODS)
    if method == "all":
        if batch_size is not None or dataset_size is not None:
            raise ValueError(
                f"kl_decomposition: dataset_size={dataset_size}, batch_size={batch_size} with "
                "method='all', which takes the examples for the whole: leave them out, or use "
                "method='mss'"
            )
        return np.arange(n)[None], n
    batch_size = min(BATCH, n) if batch_size is None else batch_size
    size = positive_int("kl_decomposition: batch_size", batch_size)
    if not 2 <= size <= n:
        raise ValueError(
            f"kl_decomposition: batch_size={size}: expected 2 <= batch_size <= {n} (examples)"
        )
    dataset_size = n if dataset_size is None else dataset_size
    whole = positive_int("kl_decomposition: dataset_size", dataset_size)
    if whole < n:
        raise ValueError(
            f"kl_decomposition: dataset_size={whole}: expected at least {n}, the examples given"
        )
    shuffled = np.random.default_rng(seed).permutation(n)
    return shuffled[: n - n % size].reshape(-1, size), whole


def log_ratios(
    mean: Float[np.ndarray, "n latents"],
    log_var: Float[np.ndarray, "n latents"],
    order: Int[np.ndarray, "batches size"],
    method: str,
    dataset_size: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log q(z|x)/q(z), log q(z)/Πq(z_j) and log q(z_j)/p(z_j) of each z, as float64.

    Args:
        mean: of q(z|x).
        log_var: of q(z|x).
        order: the examples of each batch, whose q(z|x) stand for q(z) there.
        method: see `kl_decomposition`.
        dataset_size: N.
        seed: of the draws of z.

    Returns:
        two arrays (batches, size) and one (batches, size, latents).
    """
    batches, size = order.shape
    latents = mean.shape[1]
    rows = min(size, max(1, BLOCK // (size * latents)))
    blocks = -(-size // rows)
    draws = _draws(mean, log_var, jax.random.key(seed))
    found = tuple(jnp.zeros((batches, blocks * rows, *end)) for end in ((), (), (latents,)))
    for first, last in Pace().calls(batches * blocks):
        found = jax.block_until_ready(
            _add_ratios(
                found, draws, mean, log_var, order, float(dataset_size),
                jnp.asarray(first), jnp.asarray(last), method=method, rows=rows,
            )
        )  # fmt: skip
    information, correlation, marginal = (np.asarray(f[:, :size], np.float64) for f in found)
    return information, correlation, marginal


@jax.jit
def _draws(mean, log_var, key):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(mean)))
    return jax.vmap(lambda q, key: q.sample(key))(DiagonalNormal(mean, log_var), keys)


@partial(jax.jit, static_argnames=("method", "rows"))
def _add_ratios(
    found, draws, mean, log_var, order, dataset_size, first, last, *, method, rows
):  # fmt: skip
    """Fill in the blocks of rows from `first` to before `last`, numbered through all batches."""
    size = order.shape[1]
    blocks = found[0].shape[1] // rows

    def add(number, found):
        batch, block = number // blocks, number % blocks
        index = order[batch]
        z, q = draws[index], DiagonalNormal(mean[index], log_var[index])
        p = StandardNormal(q.event_size)

        def of_row(row):
            each = q.log_prob_each(z[row])
            weight = log_shares(row, size, dataset_size, method)
            joint = logsumexp(each.sum(axis=1) + weight)
            marginal = logsumexp(each + weight[:, None], axis=0)
            prior = p.log_prob_each(z[row])
            return each[row].sum() - joint, joint - marginal.sum(), marginal - prior

        # The last block of a batch is filled up with its last row.
        made = jax.vmap(of_row)(jnp.minimum(block * rows + jnp.arange(rows), size - 1))
        return tuple(
            jax.lax.dynamic_update_slice(
                whole, part[None], (batch, block * rows, *(0,) * (whole.ndim - 2))
            )
            for whole, part in zip(found, made, strict=True)
        )

    return jax.lax.fori_loop(first, last, add, found)


def log_shares(
    row: Int[Array, ""], size: int, dataset_size: Float[Array, ""] | float, method: str
) -> Float[Array, " size"]:
    """Return the logarithm of each example's weight in q(z), for the z of example `row`."""
    if method == "all":
        return jnp.full(size, -jnp.log(size))
    if method == "mws":
        return jnp.full(size, -jnp.log(dataset_size * size))
    # The paper's B holds M + 1 examples, of which the one that z came from counts 1/N and one other
    # carries what is missing to 1. The authors' code gives these weights to the first two columns
    # of each row instead, whichever example z came from; here they go to the row's own.
    column, others = jnp.arange(size), size - 1
    rest = (dataset_size - others) / (dataset_size * others)
    weight = jnp.where(column == (row + 1) % size, rest, 1 / others)
    return jnp.log(jnp.where(column == row, 1 / dataset_size, weight))
