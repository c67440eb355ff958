"""What figures are called in tables, and which way is better."""

from typing import Literal, NamedTuple

Better = Literal["higher", "lower", ""]


class Label(NamedTuple):
    """How a figure is shown."""

    text: str
    better: Better = ""
    """Which way is better; empty where neither is."""


LABELS = {
    "elbo": Label("ELBO", "higher"),
    "elbo_train": Label("ELBO, training"),
    "distortion": Label("distortion"),
    "rate": Label("rate"),
    "importance_weighted_bound": Label("importance-weighted bound", "higher"),
    "effective_samples": Label("effective samples"),
    "annealed_importance_sampling": Label("annealed importance sampling", "higher"),
    "bits_per_dim": Label("bits per dimension", "lower"),
    "prior_rate": Label("rate under the prior"),
    "prior_bits_per_code": Label("bits per code under the prior"),
    "prior_elbo": Label("ELBO with the prior", "higher"),
    "mse": Label("mean squared error", "lower"),
    "psnr": Label("PSNR", "higher"),
    "ssim": Label("SSIM", "higher"),
    "active_units": Label("active latents"),
    "mutual_information": Label("mutual information I(x; z)"),
    "total_correlation": Label("total correlation"),
    "dimension_wise_kl": Label("dimension-wise KL"),
    "joint_gaussian_kl": Label("KL of q(z) from prior, Gaussian"),
    "knn_accuracy": Label("nearest neighbours", "higher"),
    "linear_accuracy": Label("linear classifier", "higher"),
    "used": Label("codes used", "higher"),
    "share_used": Label("share of codes used", "higher"),
    "perplexity": Label("perplexity", "higher"),
    "code_bits": Label("bits per code"),
    "code_distance": Label("distance between codes"),
    "frechet_distance": Label("Fréchet distance", "lower"),
    "kernel_distance": Label("kernel distance", "lower"),
    "precision": Label("precision", "higher"),
    "recall": Label("recall", "higher"),
    "density": Label("density", "higher"),
    "coverage": Label("coverage", "higher"),
    "copied": Label("copies"),
    "nearer_than_held_out": Label("nearer than held-out"),
    "mig": Label("MIG", "higher"),
    "sap": Label("SAP", "higher"),
    "dci_disentanglement": Label("DCI disentanglement", "higher"),
    "dci_completeness": Label("DCI completeness", "higher"),
    "dci_informativeness_test": Label("DCI informativeness", "higher"),
    "modularity": Label("modularity", "higher"),
    "explicitness": Label("explicitness", "higher"),
    "irs": Label("IRS", "higher"),
    "beta_vae_score": Label("BetaVAE score", "higher"),
    "factor_vae_score": Label("FactorVAE score", "higher"),
}
"""Figures by the names that `evaluation.json` has; codebooks after the first have a number."""


def label_of(name: str) -> Label:
    """Return how a figure is shown; one that is not known by its name, as its name says.

    Examples:
        >>> label_of("elbo"), label_of("perplexity_2").text, label_of("my_figure").text
        (Label(text='ELBO', better='higher'), 'perplexity, codebook 2', 'my figure')
    """
    if name in LABELS:
        return LABELS[name]
    stem, _, number = name.rpartition("_")
    if stem in LABELS and number.isdigit():
        return Label(f"{LABELS[stem].text}, codebook {number}", LABELS[stem].better)
    return Label(name.replace("_", " "))
