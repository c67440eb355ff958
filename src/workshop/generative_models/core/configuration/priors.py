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


class VampConfig(LatentPriorConfig):
    """A mixture of q(z|u) of learned pseudo-inputs u (Tomczak & Welling 2018)."""

    kind: Literal["vamp"] = "vamp"
    """Kind of prior."""
    components: PositiveInt = 500
    """Number of pseudo-inputs."""
    start: Literal["random", "data"] = "random"
    """What pseudo-inputs begin as: random values, or training examples."""


class ResampledConfig(LatentPriorConfig):
    """N(0, I) after a learned rejection sampler, LARS (Bauer & Mnih 2019)."""

    kind: Literal["resampled"] = "resampled"
    """Kind of prior."""
    hidden_dims: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (100, 100)
    """Widths of the layers of the acceptance function."""
    truncation: int = Field(default=100, ge=2)
    """Number of the proposal that is accepted in any case."""
    samples: PositiveInt = 1024
    """Proposals of each training step that estimate the normaliser."""
    decay: float = Field(default=0.99, ge=0.0, lt=1.0)
    """Decay of the moving average of the normaliser."""


class ConditionalConfig(LatentPriorConfig):
    """A normal distribution of each class, p(z|y), of a conditional model (Sohn et al. 2015)."""

    kind: Literal["conditional"] = "conditional"
    """Kind of prior."""


AnyPriorConfig = (
    StandardNormalConfig
    | MixtureConfig
    | VampConfig
    | ResampledConfig
    | ConditionalConfig
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
