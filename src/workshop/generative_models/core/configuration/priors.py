"""Configurations of priors p(z).

A new prior of this package is added to the union.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SerializeAsAny

from workshop.generative_models.core.configuration.base import (
    Config,
    Widths,
    by_kind,
    registered,
)


class LatentPriorConfig(Config):
    """Base class of the configurations of priors."""


class StandardNormalConfig(LatentPriorConfig):
    """The standard normal distribution N(0, I)."""

    kind: Literal["standard_normal"] = "standard_normal"
    """Kind of prior."""


class MixtureConfig(LatentPriorConfig):
    """A learned mixture of normal distributions with diagonal covariances."""

    kind: Literal["mixture"] = "mixture"
    """Kind of prior."""
    components: PositiveInt = 100
    """Number of components."""


class CouplingConfig(LatentPriorConfig):
    """Affine coupling layers, a real NVP (Dinh et al. 2017)."""

    kind: Literal["coupling"] = "coupling"
    """Kind of prior."""
    flows: PositiveInt = 5
    """Number of steps."""
    hidden_dims: Widths = (100,)
    """Widths of the hidden layers of the network of each step."""


class MAFConfig(LatentPriorConfig):
    """Masked autoregressive flows (Papamakarios et al. 2017)."""

    kind: Literal["maf"] = "maf"
    """Kind of prior."""
    flows: PositiveInt = 5
    """Number of steps."""
    hidden_dims: Widths = (100,)
    """Widths of the hidden layers of the masked network of each step."""


class SplineConfig(LatentPriorConfig):
    """Coupling layers of rational-quadratic splines (Durkan et al. 2019)."""

    kind: Literal["spline"] = "spline"
    """Kind of prior."""
    flows: PositiveInt = 10
    """Number of steps."""
    hidden_dims: Widths = (128,)
    """Widths of the hidden layers of the network of each step."""
    bins: Annotated[int, Field(ge=1, le=500)] = 8
    """Bins of each spline."""
    bound: PositiveFloat = 3.0
    """Splines are between -bound and bound; beyond, latents stay as they are."""


class UniformSphereConfig(LatentPriorConfig):
    """The uniform distribution on the unit sphere, of posteriors on the sphere."""

    kind: Literal["uniform_sphere"] = "uniform_sphere"
    """Kind of prior."""


class WrappedNormalPriorConfig(LatentPriorConfig):
    """A wrapped normal distribution at the centre of the Poincaré ball, of posteriors on it."""

    kind: Literal["wrapped_normal"] = "wrapped_normal"
    """Kind of prior."""
    scale: PositiveFloat = 1.0
    """Standard deviation, as a distance on the ball of curvature -1."""


AnyPriorConfig = (
    StandardNormalConfig
    | MixtureConfig
    | CouplingConfig
    | MAFConfig
    | SplineConfig
    | UniformSphereConfig
    | WrappedNormalPriorConfig
)
PRIOR_CONFIGS: dict[str, type[LatentPriorConfig]] = by_kind(AnyPriorConfig)
PriorField = Annotated[
    SerializeAsAny[AnyPriorConfig],
    Field(discriminator="kind"),
    registered(AnyPriorConfig, PRIOR_CONFIGS),
]
