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
    FullNormalConfig,
    HouseholderConfig,
    IAFConfig,
    LowRankNormalConfig,
    PlanarConfig,
    PointMassConfig,
    PosteriorConfig,
    RadialConfig,
    SylvesterConfig,
)
from workshop.generative_models.core.configuration.priors import (
    CouplingConfig,
    LatentPriorConfig,
    MAFConfig,
    MixtureConfig,
    SplineConfig,
    StandardNormalConfig,
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
    "CouplingConfig",
    "DecoderConfig",
    "DiagonalNormalConfig",
    "ELBOConfig",
    "EncoderConfig",
    "FSQConfig",
    "FullNormalConfig",
    "HouseholderConfig",
    "IAFConfig",
    "KLScheduleName",
    "LFQConfig",
    "LatentPriorConfig",
    "LikelihoodName",
    "LowRankNormalConfig",
    "MAFConfig",
    "MixtureConfig",
    "ModelConfiguration",
    "NetworkConfig",
    "NetworkType",
    "ObjectiveConfig",
    "PlanarConfig",
    "PointMassConfig",
    "PosteriorConfig",
    "PriorConfig",
    "QuantizerConfig",
    "RadialConfig",
    "ReconstructionConfig",
    "ResidualConfig",
    "Scale",
    "SimVQConfig",
    "SplineConfig",
    "StandardNormalConfig",
    "SylvesterConfig",
    "TrainingConfig",
    "VAEConfig",
    "VQConfig",
    "VQVAEConfig",
    "check_likelihood",
]
