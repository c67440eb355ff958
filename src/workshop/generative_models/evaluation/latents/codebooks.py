"""How the codes of a codebook are used, how far they lie apart, and whether it has collapsed."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from workshop.generative_models.core.checks import positive_int
from workshop.generative_models.core.quantizers import (
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)

BLOCK = 2**23
"""Entries of a block of the matrix of distances: 64 MiB of float64."""


@dataclass(frozen=True, eq=False)
class CodebookHealth:
    """The use of each code and what follows from it, as `codebook_health` returns it."""

    counts: Int[np.ndarray, " codes"]
    """How often each code was chosen."""
    dead: Int[np.ndarray, " dead"]
    """The codes that were never chosen, in increasing order."""
    used: int
    """How many codes were chosen at least once."""
    share: float
    """`used` of all codes, from 0 to 1."""
    perplexity: float
    """exp(-Σ p log p): the number of codes that would be as varied if all were used alike."""
    bits: float
    """-Σ p log₂ p: the entropy of one index in bits, at most log₂ of the codebook's size."""
    distances: Float[np.ndarray, " codes"] | None
    """Euclidean distance of each code to its nearest other code; None where no codes were given."""


def codebook_health(
    indices: ArrayLike, codebook_size: int, codes: ArrayLike | None = None
) -> CodebookHealth:
    """Count how the codes of one codebook are used, over a batch or a whole data set.

    Args:
        indices: whole numbers of any shape, 0 <= index < `codebook_size`; entries of -1 stand for
            no code (padding, a dropped stage) and are left out. All are counted together: where
            positions have several codes from different codebooks, as in a residual stack, pass
            those of one codebook, such as `indices[..., 0]`.
        codebook_size: how many codes there are.
        codes: (codebook_size, dim) the codes themselves, if distances between them are wanted.

    Raises:
        ValueError: if `indices` are not whole numbers, lie outside of the range or are all -1, or
            if `codes` are not `codebook_size` rows of finite numbers.

    Examples:
        >>> from workshop.generative_models.evaluation.latents import codebook_health
        >>> health = codebook_health([[0, 3], [3, -1]], 4, [[0.0], [1.0], [3.0], [7.0]])
        >>> health.used, health.dead.tolist(), health.distances.tolist()
        (2, [1, 2], [1.0, 1.0, 2.0, 4.0])
    """
    size = positive_int("codebook_health: codebook_size", codebook_size)
    counts = np.bincount(chosen(indices, size), minlength=size)
    nats, used = entropy(counts), int((counts > 0).sum())
    return CodebookHealth(
        counts=counts,
        dead=np.flatnonzero(counts == 0),
        used=used,
        share=used / size,
        perplexity=exp(nats),
        bits=nats / log(2),
        distances=None if codes is None else nearest_distances(rows(codes, size)),
    )


def entropy(counts: Int[np.ndarray, " codes"] | Float[np.ndarray, " codes"]) -> float:
    """Return -Σ p log p of the shares p of counts, or of averages of counts, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(np.sum(shares * np.log(1 / shares)))


def chosen(indices: ArrayLike, size: int) -> Int[np.ndarray, " n"]:
    """Return all indices but -1 in one axis, checked."""
    where = "codebook_health(indices)"
    array = np.asarray(indices)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{where}: expected whole numbers, got {array.dtype}")
    flat = array.reshape(-1)
    flat = flat[flat != -1]
    if not flat.size:
        raise ValueError(
            f"{where}: expected at least one index >= 0, got shape {array.shape} with none"
        )
    if flat.min() < 0 or flat.max() >= size:
        raise ValueError(
            f"{where}: expected 0 <= index < {size} (codebook_size), or -1 for no code, "
            f"got {flat.min()} to {flat.max()}"
        )
    return flat.astype(np.int64)  # not before: what is too large for it would become another


def rows(codes: ArrayLike, size: int) -> Float[np.ndarray, "codes dim"]:
    """Return `codes` as float64, checked."""
    array = np.asarray(codes, np.float64)
    if array.ndim != 2 or len(array) != size or not array.shape[1]:
        raise ValueError(
            f"codebook_health(codes): expected shape ({size}, dim), one row a code, "
            f"got {array.shape}; of several codebooks pass one"
        )
    if not np.isfinite(array).all():
        raise ValueError("codebook_health(codes): expected finite numbers")
    return array


def nearest_distances(codes: Float[np.ndarray, "codes dim"]) -> Float[np.ndarray, " codes"]:
    """Return min_j≠i ‖e_i - e_j‖ for each code, inf for a lone one.

    ‖e_i - e_j‖² = ‖e_i‖² + 2 (½‖e_j‖² - e_i·e_j): the bracket is one matrix product, taken for as
    many rows at a time as `BLOCK` has room for. It only finds the neighbour; the distance comes
    from the difference itself, so that equal codes are at 0 and close ones lose no digits.
    """
    n = len(codes)
    if n == 1:
        return np.array([np.inf])
    centred = codes - codes.mean(axis=0)
    half = 0.5 * np.sum(np.square(centred), axis=1, keepdims=True)
    others = np.concatenate([-centred, half], axis=1).T
    each = np.concatenate([centred, np.ones_like(half)], axis=1)
    neighbour = np.empty(n, np.int64)
    step = max(1, BLOCK // n)
    for start in range(0, n, step):
        bracket = each[start : start + step] @ others
        own = np.arange(len(bracket))
        bracket[own, start + own] = np.inf
        neighbour[start : start + step] = bracket.argmin(axis=1)
    return np.linalg.norm(codes - codes[neighbour], axis=1)


def verdict(health: CodebookHealth) -> str | None:
    """Name collapse and its remedies; None if there is none.

    N indices that choose among K codes evenly and independently reach R = K (1 - (1 - 1/K)^N) of
    them on average: nearly all if N is many times K, but 63% for N = K, and fewer than N for few
    indices, so that a share of K alone would call every short sample collapsed. The codebook is
    called collapsed if fewer than R / 2 codes are used. Even use is called so with a chance below
    0.1% from 12 indices on, whatever K is, and below 1e-6 from 32 on: the count of distinct codes
    keeps near its mean.

    Examples:
        >>> from workshop.generative_models.evaluation.latents import codebook_health, verdict
        >>> verdict(codebook_health([5, 6, 7] * 2000, 512)).split(": ")[0]
        '3 of 512 codes used'
        >>> verdict(codebook_health(range(500), 512)) is None
        True
    """
    size, n = len(health.counts), int(health.counts.sum())
    reach = -size * np.expm1(n * np.log1p(-1 / size)) if size > 1 else 1.0
    if health.used >= reach / 2:
        return None
    # With few indices the codebook's size alone would mislead.
    of = "" if reach > 0.9 * size else f" (of about {reach:.0f} that {n:,} indices would reach)"
    return (
        f"{health.used:,} of {size:,} codes used{of}: try k-means initialisation (kmeans), "
        "revival of dead codes (revive_below), or FSQ"
    )


def codebook_healths(quantizer: Quantizer, indices: np.ndarray) -> dict[str, CodebookHealth]:
    """Return how each codebook of a quantizer is used, by name.

    Args:
        quantizer: with one codebook, or several: of residual stages, heads or groups.
        indices: (n, ..., codes) the codes of examples, without the last axis if there is one code
            a place.
    """
    if isinstance(quantizer, VectorQuantizer):
        books = list(np.asarray(quantizer.codebook()))
    elif isinstance(quantizer, ResidualQuantizer):
        books = [s.codebook()[0] if isinstance(s, VectorQuantizer) else None
                 for s in quantizer.stages]  # fmt: skip
    else:
        books = [None] * quantizer.codes  # codes without a codebook
    size = quantizer.codebook_size
    if quantizer.pooled:
        return {"codebook": codebook_health(indices, size, books[0])}
    columns = indices.reshape(-1, quantizer.codes)
    return {
        f"codebook_{i + 1}": codebook_health(columns[:, i], size, book)
        for i, book in enumerate(books)
    }


def collapses(quantizer: Quantizer, healths: Mapping[str, CodebookHealth]) -> dict[str, str]:
    """Return what to say of each codebook that has collapsed."""
    found = {name: said for name, h in healths.items() if (said := verdict(h)) is not None}
    if isinstance(quantizer, VectorQuantizer | ResidualQuantizer):
        return found
    # What has no codebook to begin or revive needs no such advice.
    return {name: said.partition(":")[0] for name, said in found.items()}
