"""Configurations of posteriors q(z|x).

A new posterior of this package is added to the union.
"""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)

from workshop.generative_models.core.configuration.base import (
    Config,
    Widths,
    by_kind,
    registered,
)


class PosteriorConfig(Config):
    """Base class of the configurations of posteriors."""


class DiagonalNormalConfig(PosteriorConfig):
    """A normal distribution with a diagonal covariance."""

    kind: Literal["diagonal_normal"] = "diagonal_normal"
    """Kind of posterior."""


class PointMassConfig(PosteriorConfig):
    """All probability at one point, as in an autoencoder: it has no density."""

    kind: Literal["point_mass"] = "point_mass"
    """Kind of posterior."""


class DeltaConfig(PosteriorConfig):
    """A diagonal normal distribution with a least KL from N(0, 1) (Razavi et al. 2019)."""

    kind: Literal["delta"] = "delta"
    """Kind of posterior."""
    rate: float = Field(default=0.1, gt=0.0, le=5.0)
    """The least KL of each latent, in nats."""


class FullNormalConfig(PosteriorConfig):
    """A normal distribution with a full covariance (Kingma & Welling 2019)."""

    kind: Literal["full_normal"] = "full_normal"
    """Kind of posterior."""


class LowRankNormalConfig(PosteriorConfig):
    """A normal distribution, its covariance of low rank beside a diagonal (Rezende et al. 2014)."""

    kind: Literal["low_rank_normal"] = "low_rank_normal"
    """Kind of posterior."""
    rank: PositiveInt = 1
    """Rank of the matrix beside the diagonal."""


class PlanarConfig(PosteriorConfig):
    """Planar flows (Rezende & Mohamed 2015)."""

    kind: Literal["planar"] = "planar"
    """Kind of posterior."""
    flows: PositiveInt = 10
    """Number of steps."""


class RadialConfig(PosteriorConfig):
    """Radial flows (Rezende & Mohamed 2015)."""

    kind: Literal["radial"] = "radial"
    """Kind of posterior."""
    flows: PositiveInt = 10
    """Number of steps."""


class SylvesterConfig(PosteriorConfig):
    """Sylvester flows (van den Berg et al. 2018)."""

    kind: Literal["sylvester"] = "sylvester"
    """Kind of posterior."""
    flows: PositiveInt = 4
    """Number of steps."""
    reflections: NonNegativeInt = 8
    """Householder reflections in the orthogonal matrix of each step; 0 is the triangular flow."""


class HouseholderConfig(PosteriorConfig):
    """A Householder flow (Tomczak & Welling 2016)."""

    kind: Literal["householder"] = "householder"
    """Kind of posterior."""
    flows: PositiveInt = 10
    """Number of reflections."""


class IAFConfig(PosteriorConfig):
    """Inverse autoregressive flows (Kingma et al. 2016)."""

    kind: Literal["iaf"] = "iaf"
    """Kind of posterior."""
    flows: PositiveInt = 2
    """Number of steps."""
    hidden_dims: Widths = (320,)
    """Widths of the hidden layers of the masked network of each step."""


class _SphereConfig(PosteriorConfig):
    """What the configurations of posteriors on the sphere share."""

    minimum_concentration: NonNegativeFloat = 1.0
    """The least concentration κ; at 0 the posterior is uniform."""


class VonMisesFisherConfig(_SphereConfig):
    """A von Mises-Fisher distribution on the unit sphere, with latent_dim coordinates.

    Its prior is uniform_sphere.
    """

    kind: Literal["von_mises_fisher"] = "von_mises_fisher"
    """Kind of posterior."""


class PowerSphericalConfig(_SphereConfig):
    """A power spherical distribution on the unit sphere, with latent_dim coordinates.

    Its prior is uniform_sphere.
    """

    kind: Literal["power_spherical"] = "power_spherical"
    """Kind of posterior."""


class WrappedNormalConfig(PosteriorConfig):
    """A normal distribution wrapped onto the Poincaré ball; its prior is wrapped_normal."""

    kind: Literal["wrapped_normal"] = "wrapped_normal"
    """Kind of posterior."""


class HamiltonianConfig(PosteriorConfig):
    """Leapfrog steps on log p(x, z) from a diagonal normal distribution (Caterini et al. 2018)."""

    kind: Literal["hamiltonian"] = "hamiltonian"
    """Kind of posterior."""
    steps: PositiveInt = 5
    """Leapfrog steps, each a gradient of the decoder."""
    step_size: PositiveFloat = 0.2
    """Initial step size of each latent."""
    max_step_size: PositiveFloat = 0.5
    """Step sizes stay below it."""
    beta_zero: float = Field(default=2 / 3, gt=0.0, le=1.0)
    """Initial inverse temperature of the momenta; 1 is no cooling."""
    learned: bool = True
    """Learn the step sizes and beta_zero."""

    @model_validator(mode="after")
    def _check_step_size(self) -> "HamiltonianConfig":
        if self.step_size >= self.max_step_size:
            raise ValueError(
                f"step_size={self.step_size} must be below max_step_size={self.max_step_size}"
            )
        return self


class RiemannianHamiltonianConfig(PosteriorConfig):
    """Leapfrog steps on a manifold with a learned metric (Chadebec et al. 2020)."""

    kind: Literal["riemannian_hamiltonian"] = "riemannian_hamiltonian"
    """Kind of posterior."""
    steps: PositiveInt = 3
    """Leapfrog steps, each a gradient of the decoder."""
    step_size: PositiveFloat = 0.001
    """Step size."""
    beta_zero: float = Field(default=0.3, gt=0.0, le=1.0)
    """Inverse temperature of the initial momenta; 1 is no cooling."""
    temperature: PositiveFloat = 1.5
    """Reach of each centroid of the metric, T in exp(-distance²/T²)."""
    regularization: PositiveFloat = 0.01
    """What is added to the diagonal of the inverse metric."""
    centroids: PositiveInt = 100
    """Training examples in the metric."""
    iterations: PositiveInt = 3
    """Fixed-point iterations of each implicit equation of a step."""


AnyPosteriorConfig = (
    DiagonalNormalConfig
    | PointMassConfig
    | DeltaConfig
    | FullNormalConfig
    | LowRankNormalConfig
    | PlanarConfig
    | RadialConfig
    | SylvesterConfig
    | HouseholderConfig
    | IAFConfig
    | VonMisesFisherConfig
    | PowerSphericalConfig
    | WrappedNormalConfig
    | HamiltonianConfig
    | RiemannianHamiltonianConfig
)
POSTERIOR_CONFIGS: dict[str, type[PosteriorConfig]] = by_kind(AnyPosteriorConfig)
PosteriorField = Annotated[
    SerializeAsAny[AnyPosteriorConfig],
    Field(discriminator="kind"),
    registered(AnyPosteriorConfig, POSTERIOR_CONFIGS),
]
