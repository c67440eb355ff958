"""Bijections of vectors with their log-determinants, of which flows are made."""

from workshop.generative_models.core.bijections.affine import Affine, affine, gated
from workshop.generative_models.core.bijections.autoregressive import MaskedAutoregressive
from workshop.generative_models.core.bijections.base import Bijection
from workshop.generative_models.core.bijections.chain import Chain, Invert, Repeat, Reverse
from workshop.generative_models.core.bijections.coupling import Coupling
from workshop.generative_models.core.bijections.householder import Householder
from workshop.generative_models.core.bijections.network import MADE, Conditioner, Network
from workshop.generative_models.core.bijections.planar import Planar
from workshop.generative_models.core.bijections.radial import Radial
from workshop.generative_models.core.bijections.spline import RationalQuadraticSpline, spline
from workshop.generative_models.core.bijections.sylvester import Sylvester

__all__ = [
    "MADE",
    "Affine",
    "Bijection",
    "Chain",
    "Conditioner",
    "Coupling",
    "Householder",
    "Invert",
    "MaskedAutoregressive",
    "Network",
    "Planar",
    "Radial",
    "RationalQuadraticSpline",
    "Repeat",
    "Reverse",
    "Sylvester",
    "affine",
    "gated",
    "spline",
]
