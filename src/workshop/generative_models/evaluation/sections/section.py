"""What every part of an evaluation is."""

from dataclasses import dataclass, field

from workshop.generative_models.evaluation.estimates import Estimate


@dataclass(frozen=True)
class Section:
    """Figures under one heading."""

    title: str
    figures: dict[str, Estimate]
    verdicts: list[str] = field(default_factory=list)
    """What is wrong, with what helps."""
    notes: list[str] = field(default_factory=list)
    """How to read the figures."""
    series: dict[str, list[float]] = field(default_factory=dict)
    """Figures that come one a latent or one a code."""
