"""What the KL is made of: information about x, dependence between latents, distance of each."""

from dataclasses import replace
from functools import partial
from math import log

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from ...core.checks import one_of, positive_int
from ...core.distributions import DiagonalNormal, StandardNormal
from ...core.distributions.aggregate import aggregate_log_probs
from ..estimates import Estimate, mean_of
from ..passes import in_passes
from .units import example_kl, read_parameters

BLOCK = 2**21
"""Log-densities that are held at a time: 8 MiB of float32, which stay in the cache."""
METHODS = {
    "all": "mixture of all examples",
    "mws": "minibatch weighted sampling",
    "mss": "minibatch stratified sampling",
}


def mutual_information(mean: ArrayLike, log_var: ArrayLike, *, seed: int = 0) -> Estimate:
    """Return I(x; z) under q, in nats: what a code tells about which example it came from.

        I(x; z) = E_x E_q(z|x) [log q(z|x) - log q(z)],  q(z) = 1/n Σ_i q(z|x_i)

    One z is drawn for each example and q(z) is the mixture of all n, so that no value exceeds
    log n: see `saturation` for one too near to it. The arguments and errors are those of
    `kl_decomposition`.

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

    - `all`: the mixture of all n examples, exact for these. Information beyond log n is counted as
      total correlation, see `saturation`.
    - `mss`: within a batch of M + 1, q(z|x_i)/N + (N - M)/(N M) q(z|x_next) + 1/M Σ q(z|x_others)
      for the z of example i, without bias for q(z), though not for its logarithm.
    - `mws`: within a batch of M, 1/(N M) Σ_j q(z|x_j): too small for q(z) by up to a factor of N,
      so that the information comes out high. It is made for gradients; compare it with its like.

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

    The mixture of n examples can tell e^I codes apart only if n is well above that. Of Gaussian
    codes whose information came within log 10 of log n, the estimate was 0.1 to 0.5 nats too low
    and the total correlation as much too high; the dimension-wise KL and the sum are not affected.

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
    """Return the examples of each batch, and the size of the data set."""
    one_of("kl_decomposition: method", method, METHODS)
    if method == "all":
        if batch_size is not None or dataset_size is not None:
            raise ValueError(
                f"kl_decomposition: dataset_size={dataset_size}, batch_size={batch_size} with "
                "method='all', which takes the examples for the whole: leave them out, or use "
                "method='mss'"
            )
        return np.arange(n)[None], n
    given = min(64, n) if batch_size is None else batch_size
    size = positive_int("kl_decomposition: batch_size", given)
    if not 2 <= size <= n:
        raise ValueError(
            f"kl_decomposition: batch_size={size}: expected 2 <= batch_size <= {n} (examples)"
        )
    given = n if dataset_size is None else dataset_size
    whole = positive_int("kl_decomposition: dataset_size", given)
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
) -> tuple[np.ndarray, ...]:
    """Return log q(z|x)/q(z), log q(z)/Πq(z_j) and log q(z_j)/p(z_j) of each z, as float64.

    They are two arrays (batches, size) and one (batches, size, latents); the q(z|x) of each batch
    in `order` stand for q(z) there.
    """
    batches, size = order.shape
    rows = min(size, max(1, BLOCK // (size * mean.shape[1])))
    blocks = -(-size // rows)
    q = jnp.asarray(mean), jnp.asarray(log_var)
    draws = _draws(*q, jax.random.key(seed))

    def one_block(number: np.ndarray) -> tuple[jax.Array, ...]:
        batch, block = divmod(int(number[0]), blocks)
        given = (array[order[batch]] for array in (draws, *q))
        first, count = jnp.asarray(block * rows), float(dataset_size)
        return _ratios(*given, first, count, method=method, rows=rows)

    found = in_passes(one_block, batches * blocks, size=1)
    whole = (f.reshape(batches, blocks * rows, *f.shape[2:])[:, :size] for f in found)
    return tuple(f.astype(np.float64) for f in whole)


@jax.jit
def _draws(mean, log_var, key):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(mean)))
    return jax.vmap(lambda q, key: q.sample(key))(DiagonalNormal(mean, log_var), keys)


@partial(jax.jit, static_argnames=("method", "rows"))
def _ratios(draws, mean, log_var, first, dataset_size, *, method, rows):
    """Return the ratios of `rows` z of a batch from the first, the last z in place of further."""
    q, p = DiagonalNormal(mean, log_var), StandardNormal(mean.shape[1])

    row = jnp.minimum(first + jnp.arange(rows), len(draws) - 1)
    z = draws[row]
    own, joint, marginals = aggregate_log_probs(q, z, row, dataset_size, method)
    made = own - joint, joint - marginals.sum(axis=0), marginals.T - p.log_prob_each(z)
    return tuple(part[None] for part in made)
