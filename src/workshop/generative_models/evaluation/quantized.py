"""The codebooks of a model with discrete latents: how each is used, and which collapsed."""

from collections.abc import Mapping

import numpy as np

from workshop.generative_models.core.quantizers import (
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from workshop.generative_models.evaluation.codebooks import (
    CodebookHealth,
    codebook_health,
    verdict,
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
