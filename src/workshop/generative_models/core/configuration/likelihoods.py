"""Names of likelihoods and the options that each has."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat

from workshop.generative_models.core import checks

LikelihoodName = Literal[
    "mse", "bce", "bernoulli", "gaussian", "laplace", "continuous_bernoulli",
    "discretized_logistic", "categorical",
]  # fmt: skip
SCALED = ("gaussian", "laplace", "discretized_logistic")
"""Likelihoods with a scale."""
LOGITS = ("bce", "bernoulli", "continuous_bernoulli", "categorical")
"""Likelihoods that read the decoder's output as logits, without its activation."""
DISCRETE = ("discretized_logistic", "categorical")
"""Likelihoods of data with a few levels."""
STANDARDIZED = ("gaussian", "laplace")
"""Likelihoods that can work in standard deviations of the training data."""
Scale = PositiveFloat | Literal["learned", "per_feature", "optimal"]
Levels = Annotated[int, Field(ge=2, le=65536)]


def in_any_units(name: str) -> dict[str, Any]:
    """Return the options of a likelihood that learns its scale from data in any units."""
    if name in STANDARDIZED:
        return {"scale": "per_feature", "standardize": True}
    return {"scale": "learned"} if name in SCALED else {}


def check_likelihood(name: str, scale: Scale, levels: int, *, standardize: bool = False) -> None:
    """Refuse a scale, levels or standardisation that a likelihood does not have."""
    if checks.flag("standardize", standardize) and name not in STANDARDIZED:
        raise ValueError(
            f"standardize=True has no meaning for the likelihood {name!r}: use 'gaussian' or "
            "'laplace', whose density is known in any units"
        )
    if scale != 1.0 and name not in SCALED:
        raise ValueError(f"scale={scale!r} has no meaning for the likelihood {name!r}")
    if scale == "optimal" and name == "discretized_logistic":
        raise ValueError(
            f"scale='optimal' has no closed form for the likelihood {name!r}: use 'learned', or "
            "a number"
        )
    if scale == "per_feature" and name not in STANDARDIZED:
        raise ValueError(
            f"scale='per_feature' has no meaning for the likelihood {name!r}: use 'learned', or a "
            "number"
        )
    if levels != 256 and name not in DISCRETE:
        raise ValueError(f"levels={levels!r} has no meaning for the likelihood {name!r}")
    if not 2 <= checks.positive_int("levels", levels) <= 65536:
        raise ValueError(f"levels={levels}: expected 2 <= levels <= 65536 (16 bits)")
