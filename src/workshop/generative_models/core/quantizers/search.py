"""The nearest code of each vector, and how the codes are used, in a bounded amount of memory."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, Key

from workshop.generative_models.core import checks

_Noise = tuple[float, jax.Array] | None
"""Temperature and key of a draw."""
WHOLE = 1 << 18
"""Distances that are held at once without a second thought: 1 MiB, which stays in the cache."""
ROWS, COLUMNS = 512, 1024
"""Vectors and codes whose distances make one block of a larger search on the CPU, in its cache."""
BLOCK = 1 << 26
"""Distances in a block of a larger search elsewhere: all codes, and as many vectors: 256 MiB."""


def nearest_code(
    vectors: Float[Array, "n dim"],
    codebook: Float[Array, "codes dim"],
    *,
    temperature: float = 0.0,
    key: Key[Array, ""] | None = None,
) -> Int[Array, " n"]:
    """Return argmin_k ‖v - e_k‖² of each vector, or a code drawn by its distance.

        p(k | v) = softmax_k(-½ ‖v - e_k‖² / temperature)

    A temperature of 0 takes the nearest, and ties go to the lowest index. ‖v‖² is the same for
    every code and is left out, so that no digits are lost to it. Of a large search only blocks of
    distances are ever in memory.
    """
    half = 0.5 * jnp.sum(jnp.square(codebook), axis=-1)
    checks.at_least("temperature", temperature, 0.0)
    if temperature and key is None:
        raise ValueError(f"nearest_code(temperature={temperature}) draws codes: pass a key")
    noise = None if key is None or not temperature else (temperature, key)
    n, codes = len(vectors), len(codebook)
    if n * codes <= WHOLE:
        return _nearest(vectors, codebook, half, noise)[1]
    search = partial(_search, vectors, codebook, half, noise)
    return jax.lax.platform_dependent(
        cpu=partial(search, ROWS, COLUMNS), default=partial(search, max(BLOCK // codes, 1), codes)
    )


def _search(
    vectors: jax.Array, codebook: jax.Array, half: jax.Array, noise: _Noise, rows: int, columns: int
) -> jax.Array:
    """Search in blocks of vectors and of codes."""
    n = len(vectors)
    chunks = -(-n // rows)
    rows = min(rows, 8 * -(-n // (8 * chunks)))  # as little padding as there can be
    padded = jnp.pad(vectors, ((0, chunks * rows - n), (0, 0)))
    # Every chunk takes vectors from everywhere: split over devices, all of them work on each.
    parts = jnp.moveaxis(padded.reshape(rows, chunks, -1), 1, 0)
    found = jax.lax.map(
        lambda part: _nearest_of_many(part[1], codebook, half, _at(noise, part[0]), columns),
        (jnp.arange(chunks), parts),
    )
    return found.T.reshape(-1)[:n]


def _at(noise: _Noise, index: jax.Array) -> _Noise:
    return None if noise is None else (noise[0], jax.random.fold_in(noise[1], index))


def _nearest_of_many(
    vectors: jax.Array, codebook: jax.Array, half: jax.Array, noise: _Noise, columns: int
) -> jax.Array:
    """Return the nearest codes of a few vectors, a block of codes at a time."""
    codes, n = len(codebook), len(vectors)
    blocks = -(-codes // columns)
    columns = -(-codes // blocks)
    short = blocks * columns - codes
    book = jnp.pad(codebook, ((0, short), (0, 0))).reshape(blocks, columns, -1)
    halves = jnp.pad(half, (0, short), constant_values=jnp.inf).reshape(blocks, columns)

    def better(best: tuple[jax.Array, jax.Array], block: tuple) -> tuple:
        index, block_codes, block_half = block
        distance, code = _nearest(vectors, block_codes, block_half, _at(noise, index))
        closer = distance < best[0]  # not of equal distance: the first block keeps it
        return (
            jnp.where(closer, distance, best[0]),
            jnp.where(closer, code + index * columns, best[1]),
        ), None

    start = jnp.full(n, jnp.inf), jnp.zeros(n, jnp.int32)
    return jax.lax.scan(better, start, (jnp.arange(blocks), book, halves))[0][1]


def _nearest(
    vectors: jax.Array, codebook: jax.Array, half: jax.Array, noise: _Noise
) -> tuple[jax.Array, jax.Array]:
    """Return the least distance (less ½‖v‖²) and the lowest index that has it."""
    products = jnp.matmul(vectors, codebook.T, precision=jax.lax.Precision.HIGHEST)
    distance = half - products
    if noise is not None:
        temperature, key = noise
        distance -= temperature * jax.random.gumbel(key, distance.shape)
    best = jnp.min(distance, axis=-1, keepdims=True)
    # A minimum and a comparison vectorise where argmin does not (16% of a VQ-VAE step on a CPU).
    last = len(codebook) - 1
    code = jnp.min(jnp.where(distance <= best, jnp.arange(last + 1, dtype=jnp.int32), last), -1)
    return best[:, 0], code


def code_counts(
    indices: Int[Array, "batch positions"],
    codes: int,
    weights: Float[Array, "batch positions"] | None = None,
) -> Float[Array, "positions k"]:
    """Return how often each code stands at each position; a negative index counts nothing."""
    positions = indices.shape[1]
    if not isinstance(indices, Tracer) and indices.size and int(jnp.max(indices)) >= codes:
        raise ValueError(f"indices go up to {int(jnp.max(indices))}: expected index < {codes}")
    counted = jnp.ones(indices.shape, jnp.float32) if weights is None else weights
    counted = jnp.where(indices < 0, 0.0, counted).reshape(-1)
    flat = (jnp.maximum(indices, 0) + codes * jnp.arange(positions)).reshape(-1)
    return jax.ops.segment_sum(counted, flat, positions * codes).reshape(positions, codes)


def perplexity(counts: Float[Array, " codes"]) -> Float[Array, ""]:
    """Return exp(-Σ p log p) of the codes' frequencies: the number of codes in effective use."""
    frequency = counts / jnp.maximum(jnp.sum(counts), 1.0)
    return jnp.exp(jnp.sum(jax.scipy.special.entr(frequency)))


def spread(
    weights: Float[Array, " n"], count: int, key: Key[Array, ""]
) -> tuple[Int[Array, " count"], Float[Array, " count"]]:
    """Draw places by their weights, evenly spread: (places, 1 where one is new or else 0).

    One is drawn from each `count`-th part of the total weight, so that a place is drawn twice only
    if its weight is more than such a part. The new ones come first, in random order.
    """
    total = jnp.cumsum(weights)
    draws, order = jax.random.uniform(key, (2, count))
    within = (jnp.arange(count) + draws) / count
    places = jnp.searchsorted(total, within * total[-1], side="right")
    places = jnp.minimum(places, len(weights) - 1).astype(jnp.int32)
    new = jnp.concatenate([jnp.ones(1, bool), places[1:] != places[:-1]]) & (weights[places] > 0)
    order = jnp.argsort(jnp.where(new, order, 2.0))
    return places[order], new[order].astype(jnp.float32)


def refill(
    codes: Float[Array, "codes dim"],
    empty: Bool[Array, " codes"],
    spare: Float[Array, "codes dim"],
    new: Float[Array, " codes"],
) -> tuple[Float[Array, "codes dim"], Bool[Array, " codes"]]:
    """Put spare vectors, where `new`, in place of empty codes; return also which begin anew."""
    rank = jnp.maximum(jnp.cumsum(empty) - 1, 0)
    begins = empty & (new[rank] > 0)
    return jnp.where(begins[:, None], spare[rank], codes), begins


def kmeans(
    vectors: Float[Array, "n dim"],
    weights: Float[Array, " n"],
    key: Key[Array, ""],
    *,
    codes: int,
    iterations: int = 10,
    unit: bool = False,
) -> Float[Array, "codes dim"]:
    """Return the means of Lloyd's algorithm, begun at vectors drawn evenly.

    A mean that no vector is nearest to begins anew, at a vector drawn by its squared distance from
    its mean, as in k-means++: equal vectors would otherwise leave most means unused.

    References:
        Lloyd, Least squares quantization in PCM, 1982; Arthur & Vassilvitskii, k-means++, 2007.
    """

    def move(i: jax.Array, means: jax.Array) -> jax.Array:
        nearest = nearest_code(vectors, means)
        counts = code_counts(nearest[:, None], codes, weights[:, None])[0][:, None]
        sums = jax.ops.segment_sum(weights[:, None] * vectors, nearest, codes)
        moved = sums / jnp.maximum(counts, 1e-9)
        moved = unit_length(moved) if unit else moved
        gaps = weights * jnp.sum(jnp.square(vectors - means[nearest]), -1)
        places, new = spread(gaps, codes, jax.random.fold_in(key, i + 1))
        moved = jnp.where(counts > 0, moved, means)
        return refill(moved, counts[:, 0] == 0, vectors[places], new)[0]

    places, _ = spread(weights, codes, jax.random.fold_in(key, 0))
    return jax.lax.fori_loop(0, iterations, move, vectors[places])


def unit_length(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return x / max(‖x‖, 1e-6) along the last axis; the gradient is finite everywhere."""
    squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))
