"""How near samples and reconstructions come to data, and whether samples are copies of it."""

from workshop.generative_models.evaluation.samples.copies import (
    Neighbours,
    copying,
    copying_verdict,
    nearest_training_neighbours,
)
from workshop.generative_models.evaluation.samples.dependence import (
    dependence_of,
    dependence_verdict,
    input_dependence,
)
from workshop.generative_models.evaluation.samples.distances import (
    frechet_distance,
    kernel_distance,
    sample_quality,
)
from workshop.generative_models.evaluation.samples.features import (
    FeatureFunction,
    classifier_features,
    pca_features,
    pixels,
)
from workshop.generative_models.evaluation.samples.inception import inception_features
from workshop.generative_models.evaluation.samples.neighbourhoods import (
    density_coverage,
    precision_recall,
)
from workshop.generative_models.evaluation.samples.reconstructions import (
    mse,
    psnr,
    reconstruction_quality,
    ssim,
)

__all__ = [
    "FeatureFunction",
    "Neighbours",
    "classifier_features",
    "copying",
    "copying_verdict",
    "density_coverage",
    "dependence_of",
    "dependence_verdict",
    "frechet_distance",
    "inception_features",
    "input_dependence",
    "kernel_distance",
    "mse",
    "nearest_training_neighbours",
    "pca_features",
    "pixels",
    "precision_recall",
    "psnr",
    "reconstruction_quality",
    "sample_quality",
    "ssim",
]
