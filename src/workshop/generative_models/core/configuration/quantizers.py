"""Configurations of the quantizers.

The number of codes, the size of the vectors and the weight of the commitment loss are the model's:
its `num_embeddings`, `embedding_dim` and `commitment_cost`.
"""

from math import prod
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from workshop.generative_models.core.configuration.base import Config, by_kind

GradientName = Literal["straight_through", "rotation"]


@runtime_checkable
class Sized(Protocol):
    """Fields of a model's configuration that those of quantizers read."""

    num_embeddings: int
    embedding_dim: int
    commitment_cost: float


class QuantizerConfig(Config):
    """Base class of the configurations of quantizers."""

    def check(self, model: Sized) -> None:
        """Raise a ValueError for a number of codes or a size of vectors that cannot be."""


class VQConfig(QuantizerConfig):
    """A codebook: learned, averaged, or frozen."""

    kind: Literal["vq"] = "vq"
    """Kind of quantizer."""
    learning: Literal["loss", "ema", "frozen"] = "loss"
    """How codes learn: by gradients, as moving averages of what chose them, or not at all."""
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the moving averages."""
    epsilon: NonNegativeFloat = 1e-5
    """Laplace smoothing of the averaged counts."""
    kmeans: bool = False
    """Initialise the codes by k-means of the first training batch."""
    kmeans_iterations: PositiveInt = 10
    """Iterations of k-means."""
    revive_below: NonNegativeFloat = 0.0
    """Share of the mean usage below which a code is initialised again; 0 never does."""
    code_dim: PositiveInt | None = None
    """Size of a code, if vectors are projected to another size; None does not project."""
    heads: PositiveInt = 1
    """Number of codes per vector, each for a part of it."""
    shared: bool = True
    """Use one codebook for all heads."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Distance by which the nearest code is found."""
    gradient: GradientName = "straight_through"
    """Estimator of the gradient through the choice of a code."""
    temperature: NonNegativeFloat = 0.0
    """Temperature at which codes are drawn by distance in training; 0 takes the nearest."""
    orthogonal_cost: NonNegativeFloat = 0.0
    """Weight of the penalty on codes that are not orthogonal."""
    diversity_cost: NonNegativeFloat = 0.0
    """Weight of minus the entropy of the mean choice."""
    entropy_cost: NonNegativeFloat = 0.0
    """Weight of the mean entropy of a choice."""
    diversity_temperature: PositiveFloat = 1.0
    """Temperature of the choices in the diversity and entropy losses."""

    @model_validator(mode="after")
    def _frozen_stays(self) -> "VQConfig":
        if self.learning == "frozen" and (self.kmeans or self.revive_below):
            raise ValueError("learning='frozen' keeps the codes: kmeans and revive_below move them")
        return self

    def check(self, model: Sized) -> None:
        """Raise a ValueError for heads that do not divide the size of the vectors."""
        if self.code_dim is None and model.embedding_dim % self.heads:
            raise ValueError(
                f"quantizer.heads={self.heads} must divide embedding_dim={model.embedding_dim}, or "
                "give quantizer.code_dim"
            )


class SimVQConfig(QuantizerConfig):
    """A frozen codebook with a learned linear map."""

    kind: Literal["simvq"] = "simvq"
    """Kind of quantizer."""
    gradient: GradientName = "rotation"
    """Estimator of the gradient through the choice of a code."""


class FSQConfig(QuantizerConfig):
    """Finite scalar quantization: every number is rounded (Mentzer et al. 2023)."""

    kind: Literal["fsq"] = "fsq"
    """Kind of quantizer."""
    levels: Annotated[tuple[Annotated[int, Field(ge=3)], ...], Field(min_length=1)] | None = None
    """Levels of each number; None uses those of the paper for about num_embeddings codes."""

    def check(self, model: Sized) -> None:
        """Raise a ValueError if levels and a num_embeddings other than the default disagree."""
        if self.levels is not None and model.num_embeddings not in (512, prod(self.levels)):
            raise ValueError(
                f"num_embeddings={model.num_embeddings}, but quantizer.levels make "
                f"{prod(self.levels)} codes: leave one of them out"
            )
        if model.commitment_cost != 0.25:
            raise ValueError("commitment_cost has no meaning for FSQ: nothing commits to a code")


class LFQConfig(QuantizerConfig):
    """The signs of numbers as bits (Yu et al. 2024)."""

    kind: Literal["lfq"] = "lfq"
    """Kind of quantizer."""
    groups: PositiveInt = 1
    """Number of codes per vector, each of log2(num_embeddings) bits."""
    scale: PositiveFloat = 1.0
    """Absolute value of the numbers of a code."""
    entropy_cost: NonNegativeFloat = 0.1
    """Weight of the entropy loss."""
    diversity: NonNegativeFloat = 1.0
    """Weight of the codebook's entropy in the entropy loss."""
    temperature: PositiveFloat = 0.01
    """Temperature of the choices in the entropy loss."""

    def check(self, model: Sized) -> None:
        """Raise a ValueError for a number of codes that is no power of two."""
        codes = model.num_embeddings
        if codes & (codes - 1) or not 2 <= codes <= 2**20:
            raise ValueError(
                f"num_embeddings={codes}: a quantizer of bits needs a power of two, 2 to "
                "2^20; for more codes give quantizer.groups"
            )


class BSQConfig(LFQConfig):
    """Bits of vectors on the unit sphere (Zhao et al. 2025)."""

    kind: Literal["bsq"] = "bsq"  # type: ignore[assignment]
    """Kind of quantizer."""


_AnyStageConfig = VQConfig | SimVQConfig | FSQConfig | LFQConfig | BSQConfig
STAGE_CONFIGS: dict[str, type[QuantizerConfig]] = by_kind(_AnyStageConfig)
"""What each stage of a residual quantizer can be, by kind."""


class ResidualConfig(QuantizerConfig):
    """A stack of quantizers, each of the residual of those before it."""

    kind: Literal["residual"] = "residual"
    """Kind of quantizer."""
    stages: PositiveInt = 4
    """Number of stages."""
    stage: _AnyStageConfig = Field(default=VQConfig(), discriminator="kind")
    """Configuration of every stage, without projection, heads and groups."""
    shared: bool = False
    """Use one codebook for all stages."""
    dropout: bool = False
    """In training, use a random number of the first stages."""
    ratio: PositiveFloat = 1.0
    """Stage s quantizes the residual times ratio^s; use 4, for example, with FSQ and LFQ."""
    gradient: GradientName = "straight_through"
    """Estimator of the gradient through the choice of codes."""

    def check(self, model: Sized) -> None:
        """Raise a ValueError for stages that do not fit."""
        stage = self.stage
        several = getattr(stage, "heads", 1) * getattr(stage, "groups", 1)
        if several > 1 or getattr(stage, "code_dim", None) is not None:
            raise ValueError("quantizer.stage: stages have no heads, groups or code_dim")
        if getattr(stage, "gradient", None) != getattr(type(stage)(), "gradient", None):
            raise ValueError("quantizer.stage.gradient is not read: set quantizer.gradient")
        stage.check(model)


AnyQuantizerConfig = VQConfig | ResidualConfig | FSQConfig | LFQConfig | BSQConfig | SimVQConfig
QUANTIZER_CONFIGS: dict[str, type[QuantizerConfig]] = by_kind(AnyQuantizerConfig)
"""The quantizers by kind."""
