"""The metrics that the package reports: label, unit, and which values are better."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Metric:
    """How a metric is shown and compared.

    Args:
        label: what tables, figures and the progress bar call it.
        unit: such as "nats" or "bits"; empty for a number without a unit.
        larger_is_better: whether a larger value is better; None if neither direction is.
        constant: whether it is a setting, such as the weight of a term, and not a measurement.
    """

    label: str
    unit: str = ""
    larger_is_better: bool | None = None
    constant: bool = False

    @property
    def worst(self) -> float:
        """The value that NaN is replaced by: an infinity, or NaN if no direction is better."""
        if self.larger_is_better is None:
            return math.nan
        return -math.inf if self.larger_is_better else math.inf


_LOSSES = {
    "loss": Metric("loss", "nats", larger_is_better=False),
    "elbo": Metric("ELBO", "nats", larger_is_better=True),
    "reconstruction_loss": Metric("reconstruction loss", "nats", larger_is_better=False),
    "kl_loss": Metric("KL", "nats", larger_is_better=False),
    "beta": Metric("β, the weight of the KL", constant=True),
    "current_capacity": Metric("capacity C", "nats", constant=True),
    "capacity_loss": Metric("capacity loss", "nats", larger_is_better=False),
    "kl_capacity_diff": Metric("KL - C", "nats"),
    "critic_loss": Metric("critic loss", "nats", larger_is_better=False),
    "commitment_loss": Metric("commitment loss", larger_is_better=False),
    "codebook_loss": Metric("codebook loss", larger_is_better=False),
    "orthogonal_loss": Metric("orthogonal loss", larger_is_better=False),
    "diversity_loss": Metric("diversity loss", "nats", larger_is_better=False),
    "entropy_loss": Metric("entropy loss", "nats", larger_is_better=False),
    "codes_used": Metric("share of codes used by a batch", larger_is_better=True),
    "learning_rate_scale": Metric("scale of the learning rate", constant=True),
    "skipped": Metric("updates left out", larger_is_better=False),
}
_FIGURES = {
    "elbo_train": Metric("ELBO, training", "nats"),
    "importance_weighted_bound": Metric("importance-weighted bound", "nats", larger_is_better=True),
    "effective_samples": Metric("effective samples"),
    "annealed_importance_sampling": Metric(
        "annealed importance sampling", "nats", larger_is_better=True
    ),
    "bits_per_dim": Metric("bits per dimension", "bits", larger_is_better=False),
    "prior_kl_loss": Metric("KL under the prior", "nats"),
    "prior_bits_per_code": Metric("bits per code under the prior", "bits"),
    "prior_elbo": Metric("ELBO with the prior", "nats", larger_is_better=True),
    "mse": Metric("mean squared error", larger_is_better=False),
    "psnr": Metric("PSNR", larger_is_better=True),
    "ssim": Metric("SSIM", larger_is_better=True),
    "active_units": Metric("active latents"),
    "mutual_information": Metric("mutual information I(x; z)", "nats"),
    "total_correlation": Metric("total correlation", "nats"),
    "dimension_wise_kl": Metric("dimension-wise KL", "nats"),
    "joint_gaussian_kl": Metric("KL of q(z) from prior, Gaussian", "nats"),
    "knn_accuracy": Metric("nearest neighbours", larger_is_better=True),
    "linear_accuracy": Metric("linear classifier", larger_is_better=True),
    "used": Metric("codes used", larger_is_better=True),
    "share_used": Metric("share of codes used", larger_is_better=True),
    "perplexity": Metric("perplexity", larger_is_better=True),
    "code_bits": Metric("bits per code", "bits"),
    "code_distance": Metric("distance between codes"),
    "frechet_distance": Metric("Fréchet distance", larger_is_better=False),
    "kernel_distance": Metric("kernel distance", larger_is_better=False),
    "precision": Metric("precision", larger_is_better=True),
    "recall": Metric("recall", larger_is_better=True),
    "density": Metric("density", larger_is_better=True),
    "coverage": Metric("coverage", larger_is_better=True),
    "copied": Metric("copies"),
    "nearer_than_held_out": Metric("nearer than held-out"),
    "mig": Metric("MIG", larger_is_better=True),
    "sap": Metric("SAP", larger_is_better=True),
    "dci_disentanglement": Metric("DCI disentanglement", larger_is_better=True),
    "dci_completeness": Metric("DCI completeness", larger_is_better=True),
    "dci_informativeness_test": Metric("DCI informativeness", larger_is_better=True),
    "modularity": Metric("modularity", larger_is_better=True),
    "explicitness": Metric("explicitness", larger_is_better=True),
    "irs": Metric("IRS", larger_is_better=True),
    "beta_vae_score": Metric("BetaVAE score", larger_is_better=True),
    "factor_vae_score": Metric("FactorVAE score", larger_is_better=True),
}
METRICS: Mapping[str, Metric] = MappingProxyType(_LOSSES | _FIGURES)
"""Metrics of training rows and figures of an evaluation by name, in the order of their panels."""
ALIASES: Mapping[str, str] = MappingProxyType(
    {"total_loss": "loss", "recon_loss": "reconstruction_loss"}
)
"""Keys of a model's losses that repeat another one."""
NONE: Mapping[str, Metric] = MappingProxyType({})
"""The metrics of a model that declares none."""


def metric_of(name: str, own: Mapping[str, Metric] = NONE) -> Metric:
    """Return the description of a metric, of a model's `own` or else of `METRICS`.

    Figures of the codebooks after the first have its number at the end of their name. The label of
    an unknown metric is its name, and its direction is None.

    Examples:
        >>> metric_of("elbo")
        Metric(label='ELBO', unit='nats', larger_is_better=True, constant=False)
        >>> metric_of("perplexity_2").label, metric_of("my_metric").label
        ('perplexity, codebook 2', 'my metric')
    """
    known = {**METRICS, **own}
    if name in known:
        return known[name]
    stem, _, number = name.rpartition("_")
    if stem in known and number.isdigit():
        found = known[stem]
        return Metric(
            f"{found.label}, codebook {number}", found.unit, found.larger_is_better, found.constant
        )
    return Metric(name.replace("_", " "))
