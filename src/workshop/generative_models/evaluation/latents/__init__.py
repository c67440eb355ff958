"""What latents hold: active units, the parts of the KL, use of codes, labels read from them."""

from .aggregate import AggregatePosterior, aggregate_posterior, far_from_prior, marginal_kl
from .codebooks import CodebookHealth, codebook_health, codebook_healths, collapses, verdict
from .decomposition import kl_decomposition, mutual_information, saturation
from .probes import knn_accuracy, linear_accuracy
from .units import ActiveUnits, active_units, collapse, kl_per_dimension

__all__ = [
    "ActiveUnits",
    "AggregatePosterior",
    "CodebookHealth",
    "active_units",
    "aggregate_posterior",
    "codebook_health",
    "codebook_healths",
    "collapse",
    "collapses",
    "far_from_prior",
    "kl_decomposition",
    "kl_per_dimension",
    "knn_accuracy",
    "linear_accuracy",
    "marginal_kl",
    "mutual_information",
    "saturation",
    "verdict",
]
