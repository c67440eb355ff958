"""The standard normal prior."""

from collections.abc import Mapping
from typing import Any, ClassVar

from workshop.generative_models.core.distributions import (
    StandardNormal,
)
from workshop.generative_models.models.vae.priors.base import Prior


class StandardNormalPrior(Prior):
    """p(z) = N(z; 0, I).

    Args:
        latent_dim: size of z.
        rngs: not used; priors with parameters are given it.
    """

    factorises: ClassVar[bool] = True

    def __init__(self, latent_dim: int, *, rngs: Any = None):  # noqa: ARG002
        self.latent_dim = latent_dim

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> StandardNormal:  # noqa: ARG002
        """Return N(0, I)."""
        return StandardNormal(self.latent_dim)
