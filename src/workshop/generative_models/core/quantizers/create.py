"""A quantizer from its configuration."""

from typing import Any

from flax import nnx

from workshop.generative_models.core.building import arguments_of
from workshop.generative_models.core.configuration import (
    BSQConfig,
    FSQConfig,
    LFQConfig,
    QuantizerConfig,
    ResidualConfig,
    SimVQConfig,
    VQConfig,
)
from workshop.generative_models.core.quantizers.base import Quantizer
from workshop.generative_models.core.quantizers.binary import BSQ, LFQ
from workshop.generative_models.core.quantizers.codebook import VectorQuantizer
from workshop.generative_models.core.quantizers.residual import ResidualQuantizer
from workshop.generative_models.core.quantizers.scalar import FSQ, levels_for
from workshop.generative_models.core.quantizers.simvq import SimVQ


def create_quantizer(
    config: QuantizerConfig | None,
    dim: int,
    codebook_size: int,
    commitment_cost: float,
    *,
    rngs: nnx.Rngs,
) -> Quantizer:
    """Build a quantizer; None is a codebook that the loss trains."""
    if config is not None and not isinstance(config, QuantizerConfig):
        raise ValueError(
            f"quantizer={config!r}: expected a configuration, such as FSQConfig(levels=(8, 5, 5, "
            "5)), an instance of a Quantizer, or None"
        )
    given = {} if config is None else arguments_of(config)
    if config is None or isinstance(config, VQConfig | SimVQConfig):
        kind: Any = SimVQ if isinstance(config, SimVQConfig) else VectorQuantizer
        return kind(dim, codebook_size, commitment_cost=commitment_cost, rngs=rngs, **given)
    if isinstance(config, FSQConfig):
        return FSQ(dim, config.levels or levels_for(codebook_size), rngs=rngs)
    if isinstance(config, LFQConfig):
        kind = BSQ if isinstance(config, BSQConfig) else LFQ
        bits = codebook_size.bit_length() - 1
        return kind(dim, bits, commitment_cost=commitment_cost, rngs=rngs, **given)
    assert isinstance(config, ResidualConfig)
    size = _size_of_codes(config.stage, dim, codebook_size)
    stages = [
        create_quantizer(config.stage, size, codebook_size, commitment_cost, rngs=rngs)
        for _ in range(1 if config.shared else config.stages)
    ]
    options = {name: given[name] for name in ("dropout", "ratio", "gradient")}
    repeats = config.stages if config.shared else 1
    return ResidualQuantizer(stages * repeats, dim=dim, rngs=rngs, **options)


def _size_of_codes(stage: QuantizerConfig, dim: int, codebook_size: int) -> int:
    """Return the size that a stage's codes have of themselves: stages do not project."""
    if isinstance(stage, FSQConfig):
        return len(stage.levels or levels_for(codebook_size))
    return codebook_size.bit_length() - 1 if isinstance(stage, LFQConfig) else dim
