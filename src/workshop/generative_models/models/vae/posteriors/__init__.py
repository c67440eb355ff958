"""Posteriors q(z|x): the features of an encoder to a distribution."""

from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.posteriors.delta import DeltaPosterior
from workshop.generative_models.models.vae.posteriors.diagonal_normal import (
    DiagonalNormalPosterior,
)
from workshop.generative_models.models.vae.posteriors.full_normal import FullNormalPosterior
from workshop.generative_models.models.vae.posteriors.hamiltonian import HamiltonianPosterior
from workshop.generative_models.models.vae.posteriors.householder import HouseholderPosterior
from workshop.generative_models.models.vae.posteriors.iaf import IAFPosterior
from workshop.generative_models.models.vae.posteriors.low_rank_normal import (
    LowRankNormalPosterior,
)
from workshop.generative_models.models.vae.posteriors.planar import PlanarPosterior
from workshop.generative_models.models.vae.posteriors.point_mass import PointMassPosterior
from workshop.generative_models.models.vae.posteriors.power_spherical import (
    PowerSphericalPosterior,
)
from workshop.generative_models.models.vae.posteriors.radial import RadialPosterior
from workshop.generative_models.models.vae.posteriors.riemannian_hamiltonian import (
    RiemannianHamiltonianPosterior,
)
from workshop.generative_models.models.vae.posteriors.sylvester import SylvesterPosterior
from workshop.generative_models.models.vae.posteriors.von_mises_fisher import (
    VonMisesFisherPosterior,
)
from workshop.generative_models.models.vae.posteriors.wrapped_normal import (
    WrappedNormalPosterior,
)

POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal_normal": DiagonalNormalPosterior,
    "point_mass": PointMassPosterior,
    "delta": DeltaPosterior,
    "full_normal": FullNormalPosterior,
    "low_rank_normal": LowRankNormalPosterior,
    "planar": PlanarPosterior,
    "radial": RadialPosterior,
    "sylvester": SylvesterPosterior,
    "householder": HouseholderPosterior,
    "iaf": IAFPosterior,
    "von_mises_fisher": VonMisesFisherPosterior,
    "power_spherical": PowerSphericalPosterior,
    "wrapped_normal": WrappedNormalPosterior,
    "hamiltonian": HamiltonianPosterior,
    "riemannian_hamiltonian": RiemannianHamiltonianPosterior,
}
"""The posteriors by the `kind` of their configuration."""

__all__ = [
    "POSTERIORS",
    "DeltaPosterior",
    "DiagonalNormalPosterior",
    "FullNormalPosterior",
    "HamiltonianPosterior",
    "HouseholderPosterior",
    "IAFPosterior",
    "LowRankNormalPosterior",
    "PlanarPosterior",
    "PointMassPosterior",
    "Posterior",
    "PowerSphericalPosterior",
    "RadialPosterior",
    "RiemannianHamiltonianPosterior",
    "SylvesterPosterior",
    "VonMisesFisherPosterior",
    "WrappedNormalPosterior",
]
