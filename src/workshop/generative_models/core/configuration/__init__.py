"""Frozen, validated descriptions of models and their components, to and from JSON without loss.

    config = VAEConfig(encoder=EncoderConfig(...), decoder=DecoderConfig(...))
    VAEConfig.model_validate_json(config.model_dump_json()) == config

An object built from a configuration keeps it, so that it can be saved and rebuilt. The package
imports no JAX: the command line reads it to print its help.
"""

from workshop.generative_models.core.configuration.base import Config
from workshop.generative_models.core.configuration.code_prior import PriorConfig
from workshop.generative_models.core.configuration.likelihoods import (
    DISCRETE,
    LOGITS,
    SCALED,
    STANDARDIZED,
    Levels,
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
    ConditionType,
    VAEConfig,
    VQVAEConfig,
)
from workshop.generative_models.core.configuration.networks import (
    Activation,
    DecoderConfig,
    DType,
    EncoderConfig,
    ModelConfiguration,
    NetworkConfig,
    NetworkType,
    OutputActivation,
    PrecisionName,
    Shape,
)
from workshop.generative_models.core.configuration.objectives import (
    OBJECTIVE_CONFIGS,
    AnyObjectiveConfig,
    CapacityConfig,
    ELBOConfig,
    KLScheduleName,
    ObjectiveConfig,
    ReconstructionConfig,
)
from workshop.generative_models.core.configuration.posteriors import (
    POSTERIOR_CONFIGS,
    AnyPosteriorConfig,
    DiagonalNormalConfig,
    PointMassConfig,
    PosteriorConfig,
)
from workshop.generative_models.core.configuration.priors import (
    PRIOR_CONFIGS,
    AnyPriorConfig,
    LatentPriorConfig,
    MixtureConfig,
    StandardNormalConfig,
)
from workshop.generative_models.core.configuration.quantizers import (
    QUANTIZER_CONFIGS,
    AnyQuantizerConfig,
    BSQConfig,
    FSQConfig,
    GradientName,
    LFQConfig,
    QuantizerConfig,
    ResidualConfig,
    SimVQConfig,
    Sized,
    VQConfig,
)
from workshop.generative_models.core.configuration.training import (
    LoopConfig,
    OptimizerConfig,
    PriorTrainingConfig,
    TrainingConfig,
)

__all__ = [
    "COMPONENT_CONFIGS",
    "DISCRETE",
    "LOGITS",
    "MODEL_CONFIGS",
    "OBJECTIVE_CONFIGS",
    "POSTERIOR_CONFIGS",
    "PRIOR_CONFIGS",
    "QUANTIZER_CONFIGS",
    "SCALED",
    "STANDARDIZED",
    "Activation",
    "AnyObjectiveConfig",
    "AnyPosteriorConfig",
    "AnyPriorConfig",
    "AnyQuantizerConfig",
    "AutoencoderConfig",
    "BSQConfig",
    "BetaVAEConfig",
    "BetaVAEWithCapacityConfig",
    "CapacityConfig",
    "ConditionType",
    "ConditionalVAEConfig",
    "Config",
    "DType",
    "DecoderConfig",
    "DiagonalNormalConfig",
    "ELBOConfig",
    "EncoderConfig",
    "FSQConfig",
    "GradientName",
    "KLScheduleName",
    "LFQConfig",
    "LatentPriorConfig",
    "Levels",
    "LikelihoodName",
    "LoopConfig",
    "MixtureConfig",
    "ModelConfiguration",
    "NetworkConfig",
    "NetworkType",
    "ObjectiveConfig",
    "OptimizerConfig",
    "OutputActivation",
    "PointMassConfig",
    "PosteriorConfig",
    "PrecisionName",
    "PriorConfig",
    "PriorTrainingConfig",
    "QuantizerConfig",
    "ReconstructionConfig",
    "ResidualConfig",
    "Scale",
    "Shape",
    "SimVQConfig",
    "Sized",
    "StandardNormalConfig",
    "TrainingConfig",
    "VAEConfig",
    "VQConfig",
    "VQVAEConfig",
    "check_likelihood",
]
