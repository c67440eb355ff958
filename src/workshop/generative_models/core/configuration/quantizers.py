"""Configurations of the quantizers.

The number of codes, the size of the vectors and the weight of the commitment loss are the model's:
its `num_embeddings`, `embedding_dim` and `commitment_cost`.
"""

from math import prod
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from workshop.generative_models.core.configuration.base import Config, by_kind

GradientName = Literal["straight_through", "rotation"]


@runtime_checkable
class Sized(Protocol):
    """What a quantizer's configuration reads of its model's."""

    num_embeddings: int
    embedding_dim: int
    commitment_cost: float


class QuantizerConfig(Config):
    """What the configurations of quantizers share."""

    def check(self, model: Sized) -> None:
        """Refuse a number of codes, or a size of vectors, that this quantizer cannot have."""


class VQConfig(QuantizerConfig):
    """A codebook: learned, averaged, or frozen."""

    kind: Literal["vq"] = "vq"
    """Kind of quantizer: vq, residual, fsq, lfq, bsq or simvq."""
    learning: Literal["loss", "ema", "frozen"] = "loss"
    """How codes learn: by gradients, as moving averages of what chose them, or not at all."""
    decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """How much of the moving averages stays at each step."""
    epsilon: NonNegativeFloat = 1e-5
    """Laplace's smoothing of the averaged counts."""
    kmeans: bool = False
    """Begin with the means of the first training batch."""
    kmeans_iterations: PositiveInt = 10
    """How often they move."""
    revive_below: NonNegativeFloat = 0.0
    """Share of the codes' mean usage below which a code begins anew; 0 revives none."""
    code_dim: PositiveInt | None = None
    """Size of a code, if vectors are to be projected."""
    heads: PositiveInt = 1
    """Codes for one vector, each for a part of it."""
    shared: bool = True
    """All heads choose from one codebook."""
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """What the nearest code is nearest in."""
    gradient: GradientName = "straight_through"
    """How a gradient passes the choice."""
    temperature: NonNegativeFloat = 0.0
    """In training, draw codes by their distances; 0 takes the nearest."""
    orthogonal_cost: NonNegativeFloat = 0.0
    """Weight of the penalty on codes that point the same way."""
    diversity_cost: NonNegativeFloat = 0.0
    """Weight of minus the entropy of the mean choice."""
    entropy_cost: NonNegativeFloat = 0.0
    """Weight of the mean entropy of a choice."""
    diversity_temperature: PositiveFloat = 1.0
    """Temperature of the choices in these two."""

    @model_validator(mode="after")
    def _frozen_stays(self) -> "VQConfig":
        if self.learning == "frozen" and (self.kmeans or self.revive_below):
            raise ValueError("learning='frozen' keeps the codes: kmeans and revive_below move them")
        return self

    def check(self, model: Sized) -> None:
        """Refuse heads that do not divide the vectors."""
        if self.code_dim is None and model.embedding_dim % self.heads:
            raise ValueError(
                f"quantizer.heads={self.heads} must divide embedding_dim={model.embedding_dim}, or "
                "give quantizer.code_dim"
            )


class SimVQConfig(QuantizerConfig):
    """A frozen codebook seen through a learned linear map."""

    kind: Literal["simvq"] = "simvq"
    """Kind of quantizer: vq, residual, fsq, lfq, bsq or simvq."""
    gradient: GradientName = "rotation"
    """How a gradient passes the choice."""


class FSQConfig(QuantizerConfig):
    """Every number of a vector rounded by itself (Mentzer et al. 2023)."""

    kind: Literal["fsq"] = "fsq"
    """Kind of quantizer: vq, residual, fsq, lfq, bsq or simvq."""
    levels: Annotated[tuple[Annotated[int, Field(ge=3)], ...], Field(min_length=1)] | None = None
    """Levels of each number; None are the paper's for about num_embeddings codes."""

    def check(self, model: Sized) -> None:
        """Refuse a number of codes that is said twice, and not alike; 512 is as good as unsaid."""
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
    """Kind of quantizer: vq, residual, fsq, lfq, bsq or simvq."""
    groups: PositiveInt = 1
    """Codes for one vector, each of log2(num_embeddings) bits."""
    scale: PositiveFloat = 1.0
    """Size of a code's numbers."""
    entropy_cost: NonNegativeFloat = 0.1
    """Weight of the entropy loss."""
    diversity: NonNegativeFloat = 1.0
    """Weight of the codebook's entropy in it."""
    temperature: PositiveFloat = 0.01
    """Temperature of the choices in it."""

    def check(self, model: Sized) -> None:
        """Refuse a number of codes that is no power of two."""
        codes = model.num_embeddings
        if codes & (codes - 1) or not 2 <= codes <= 2**20:
            raise ValueError(
                f"num_embeddings={codes}: a quantizer of bits needs a power of two, 2 to "
                "2^20; for more codes give quantizer.groups"
            )


class BSQConfig(LFQConfig):
    """Bits of vectors on the unit sphere (Zhao et al. 2025)."""

    kind: Literal["bsq"] = "bsq"  # type: ignore[assignment]
    """Kind of quantizer: vq, residual, fsq, lfq, bsq or simvq."""


class ResidualConfig(QuantizerConfig):
    """A stack of quantizers, each of what the ones before it left over."""

    kind: Literal["residual"] = "residual"
    """Kind of quantizer: vq, residual, fsq, lfq, bsq or simvq."""
    stages: PositiveInt = 4
    """How many."""
    stage: VQConfig | SimVQConfig | FSQConfig | LFQConfig | BSQConfig = Field(
        default=VQConfig(), discriminator="kind"
    )
    """Each of them; without projections, heads and groups."""
    shared: bool = False
    """One codebook for all stages."""
    dropout: bool = False
    """In training keep only the first 1, 2, ... or all stages."""
    ratio: PositiveFloat = 1.0
    """Stage s reads what is left times ratio^s: for FSQ and LFQ, such as 4."""
    gradient: GradientName = "straight_through"
    """How a gradient passes the choices."""

    def check(self, model: Sized) -> None:
        """Refuse stages that do not fit."""
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
