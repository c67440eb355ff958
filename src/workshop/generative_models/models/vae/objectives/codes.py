"""The objective of models with codes."""

from typing import Any

from workshop.generative_models.core.quantizers import code_counts
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext, read
from workshop.generative_models.models.vae.objectives.base import Objective

_REPORTED = ("commitment_loss", "codebook_loss", "perplexity", "codes_used")
_PENALTIES = ("orthogonal_loss", "diversity_loss", "entropy_loss")
"""Losses that only some quantizers have."""


class CodeObjective(Objective):
    """L = -log p(x|z_q) and what the quantizer adds: codebook, commitment and other losses.

    The KL to a uniform prior over codes is constant, and left out.

    References:
        van den Oord, Vinyals & Kavukcuoglu, Neural Discrete Representation Learning, NeurIPS 2017.
    """

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the loss, the quantizer's terms, and its statistics for the train step."""
        found = terms.inference.outputs
        rows = read(found, "encoding_indices").reshape(-1, model.usage.shape[0])
        return {
            "total_loss": terms.reconstruction_loss + read(found, "quantizer_loss"),
            **{name: read(found, name) for name in _REPORTED},
            **{name: found[name] for name in _PENALTIES if name in found},
            "statistics": {
                "usage": code_counts(rows, model.num_embeddings),
                "quantizer": found.get("statistics", {}),
            },
        }
