"""Configuration of the prior over a VQ-VAE's codes."""

from typing import Annotated

from pydantic import Field, PositiveInt, model_validator

from workshop.generative_models.core.configuration.base import Config


class PriorConfig(Config):
    """A prior over codes: a causal transformer (Vaswani et al. 2017)."""

    layers: PositiveInt = 4
    """Blocks of attention and a hidden layer of four times the width."""
    width: PositiveInt = 128
    """Size of the vectors."""
    heads: PositiveInt = 4
    """Number of attention heads."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout rate in training."""

    @model_validator(mode="after")
    def _heads_fit(self) -> "PriorConfig":
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} must divide width={self.width}")
        return self
