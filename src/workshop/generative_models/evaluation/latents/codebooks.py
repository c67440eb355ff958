"""How the codes of a codebook are used, how far they lie apart, and whether it has collapsed."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors

from ...core.checks import positive_int
from ...core.quantizers import Quantizer, ResidualQuantizer, VectorQuantizer
from ..arrays import finite_rows


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
        >>> health = codebook_health([[0, 3], [3, -1]], 4, [[0.0], [1.0], [3.0], [7.0]])
        >>> health.used, health.dead.tolist(), health.distances.tolist()
        (2, [1, 2], [1.0, 1.0, 2.0, 4.0])
    """
    size = positive_int("codebook_health: codebook_size", codebook_size)
    counts = np.bincount(_chosen(indices, size), minlength=size)
    nats, used = entropy(counts), int((counts > 0).sum())
    return CodebookHealth(
        counts=counts,
        dead=np.flatnonzero(counts == 0),
        used=used,
        share=used / size,
        perplexity=exp(nats),
        bits=nats / log(2),
        distances=None if codes is None else _nearest_distances(codes, size),
    )


def entropy(counts: Int[np.ndarray, " codes"] | Float[np.ndarray, " codes"]) -> float:
    """Return -Σ p log p of the shares p of counts, or of averages of counts, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(np.sum(shares * np.log(1 / shares)))


def _chosen(indices: ArrayLike, size: int) -> Int[np.ndarray, " n"]:
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


def _nearest_distances(codes: ArrayLike, size: int) -> Float[np.ndarray, " codes"]:
    """Return min_j≠i ‖e_i - e_j‖ for each code, inf for a lone one.

    The distance comes from the difference itself: equal codes are at 0, close ones lose no digits.
    """
    array = finite_rows("codebook_health(codes)", codes, "dim")
    if len(array) != size:
        raise ValueError(
            f"codebook_health(codes): expected shape ({size}, dim), one row a code, "
            f"got {array.shape}; of several codebooks pass one"
        )
    if size == 1:
        return np.array([np.inf])
    found = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(array - array.mean(axis=0))
    neighbour = found.kneighbors(return_distance=False)[:, 0]  # each left out of its own
    return np.linalg.norm(array - array[neighbour], axis=1)


def verdict(health: CodebookHealth) -> str | None:
    """Name collapse and its remedies; None if there is none.

    N indices that choose among K codes evenly and independently reach R = K (1 - (1 - 1/K)^N) of
    them on average, 63% for N = K. The codebook is called collapsed if fewer than R / 2 codes are
    used, which of even use has a chance below 0.1% from 12 indices on.

    Examples:
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
        indices: (n, ..., codes), without the last axis if there is one code a place.
    """
    size, books = quantizer.codebook_size, [None] * quantizer.codes
    if isinstance(quantizer, VectorQuantizer):
        books = list(np.asarray(quantizer.codebook()))
    elif isinstance(quantizer, ResidualQuantizer):
        books = [s.codebook()[0] if isinstance(s, VectorQuantizer) else None
                 for s in quantizer.stages]  # fmt: skip
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
