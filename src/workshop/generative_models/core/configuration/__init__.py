"""Frozen, validated descriptions of models and their components, to and from JSON without loss.

    config = VAEConfig(encoder=EncoderConfig(...), decoder=DecoderConfig(...))
    VAEConfig.model_validate_json(config.model_dump_json()) == config

An object built from a configuration keeps it, so that it can be saved and rebuilt. The package
imports no JAX: the command line reads it to print its help.
"""

from workshop.generative_models.core.configuration.base import Config
from workshop.generative_models.core.configuration.likelihoods import (
    LOGITS,
    LikelihoodName,
    Scale,
    check_likelihood,
)
from workshop.generative_models.core.configuration.models import (
    COMPONENT_CONFIGS,
    MODEL_CONFIGS,
    AutoencoderConfig,
    BetaVAEConfig,
    BetaVAEWithCapacityConfig,
    ConditionalVAEConfig,
    VAEConfig,
    VQVAEConfig,
)
from workshop.generative_models.core.configuration.networks import (
    DecoderConfig,
    EncoderConfig,
    ModelConfiguration,
    NetworkConfig,
    NetworkType,
    PriorConfig,
)
from workshop.generative_models.core.configuration.objectives import (
    CapacityConfig,
    ELBOConfig,
    KLScheduleName,
    ObjectiveConfig,
    ReconstructionConfig,
)
from workshop.generative_models.core.configuration.posteriors import (
    DiagonalNormalConfig,
    PointMassConfig,
    PosteriorConfig,
    PowerSphericalConfig,
    VonMisesFisherConfig,
    WrappedNormalConfig,
)
from workshop.generative_models.core.configuration.priors import (
    LatentPriorConfig,
    MixtureConfig,
    StandardNormalConfig,
    UniformSphereConfig,
    WrappedNormalPriorConfig,
)
from workshop.generative_models.core.configuration.quantizers import (
    QUANTIZER_CONFIGS,
    BSQConfig,
    FSQConfig,
    LFQConfig,
    QuantizerConfig,
    ResidualConfig,
    SimVQConfig,
    VQConfig,
)
from workshop.generative_models.core.configuration.training import TrainingConfig

__all__ = [
    "COMPONENT_CONFIGS",
    "LOGITS",
    "MODEL_CONFIGS",
    "QUANTIZER_CONFIGS",
    "AutoencoderConfig",
    "BSQConfig",
    "BetaVAEConfig",
    "BetaVAEWithCapacityConfig",
    "CapacityConfig",
    "ConditionalVAEConfig",
    "Config",
    "DecoderConfig",
    "DiagonalNormalConfig",
    "ELBOConfig",
    "EncoderConfig",
    "FSQConfig",
    "KLScheduleName",
    "LFQConfig",
    "LatentPriorConfig",
    "LikelihoodName",
    "MixtureConfig",
    "ModelConfiguration",
    "NetworkConfig",
    "NetworkType",
    "ObjectiveConfig",
    "PointMassConfig",
    "PosteriorConfig",
    "PowerSphericalConfig",
    "PriorConfig",
    "QuantizerConfig",
    "ReconstructionConfig",
    "ResidualConfig",
    "Scale",
    "SimVQConfig",
    "StandardNormalConfig",
    "TrainingConfig",
    "UniformSphereConfig",
    "VAEConfig",
    "VQConfig",
    "VQVAEConfig",
    "VonMisesFisherConfig",
    "WrappedNormalConfig",
    "WrappedNormalPriorConfig",
    "check_likelihood",
]
