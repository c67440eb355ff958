"""Posteriors q(z|x): the features of an encoder to a distribution."""

from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.posteriors.delta import DeltaPosterior
from workshop.generative_models.models.vae.posteriors.diagonal_normal import (
    DiagonalNormalPosterior,
)
from workshop.generative_models.models.vae.posteriors.hamiltonian import HamiltonianPosterior
from workshop.generative_models.models.vae.posteriors.point_mass import PointMassPosterior
from workshop.generative_models.models.vae.posteriors.riemannian_hamiltonian import (
    RiemannianHamiltonianPosterior,
)

POSTERIORS: dict[str, type[Posterior]] = {
    "diagonal_normal": DiagonalNormalPosterior,
    "point_mass": PointMassPosterior,
    "delta": DeltaPosterior,
    "hamiltonian": HamiltonianPosterior,
    "riemannian_hamiltonian": RiemannianHamiltonianPosterior,
}
"""The posteriors by the `kind` of their configuration."""

__all__ = [
    "POSTERIORS",
    "DeltaPosterior",
    "DiagonalNormalPosterior",
    "HamiltonianPosterior",
    "PointMassPosterior",
    "Posterior",
    "RiemannianHamiltonianPosterior",
]
