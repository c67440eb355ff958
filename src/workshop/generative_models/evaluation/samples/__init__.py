"""How near samples and reconstructions come to data, and whether samples are copies of it."""

from .copies import Neighbours, copying, copying_verdict, nearest_training_neighbours
from .dependence import dependence_of, dependence_verdict, input_dependence
from .distances import frechet_distance, kernel_distance, sample_quality
from .features import FeatureFunction, classifier_features, pca_features, pixels
from .inception import inception_features
from .neighbourhoods import density_coverage, precision_recall
from .reconstructions import mse, psnr, reconstruction_quality, ssim

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
