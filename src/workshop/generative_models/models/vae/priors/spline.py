"""The prior of rational-quadratic spline coupling layers."""

from collections.abc import Sequence

from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.bijections import (
    Bijection,
    Conditioner,
    Coupling,
    Network,
    spline,
)
from workshop.generative_models.models.vae.priors.flow import FlowPrior


class SplinePrior(FlowPrior):
    """p(z) of a neural spline flow, RQ-NSF (C), with u ~ N(0, I).

    Each of T steps moves one half of z by monotone splines on [-B, B] that a network makes of the
    other half; beyond ±B it is the identity. Sampling and density take one pass of each network.
    See `core.bijections.RationalQuadraticSpline`.

    Args:
        latent_dim: size of z.
        flows: T, the number of steps.
        hidden_dims: widths of the hidden layers of each network.
        bins: of each spline, at most 500.
        bound: B.
        rngs: for the initial weights.

    References:
        Durkan et al., Neural Spline Flows, NeurIPS 2019; `coupling.py` and `rational_quadratic.py`
        of bayesiains/nflows.
    """

    def __init__(
        self,
        latent_dim: int,
        flows: int = 10,
        hidden_dims: Sequence[int] = (128,),
        bins: int = 8,
        bound: float = 3.0,
        *,
        rngs: nnx.Rngs | None = None,
    ):
        self.bins = checks.positive_int("bins", bins)
        if self.bins > _MOST_BINS:
            raise ValueError(f"bins={bins}: expected at most {_MOST_BINS}")
        self.bound = float(checks.positive("bound", bound))
        super().__init__(latent_dim, flows, hidden_dims, rngs=rngs)

    def _weights(self, flows: int, hidden_dims: tuple[int, ...], rngs: nnx.Rngs) -> Conditioner:
        kept = self.latent_dim // 2
        outputs = (self.latent_dim - kept) * (3 * self.bins - 1)
        return Conditioner(flows, [kept, *hidden_dims, outputs], "relu", rngs=rngs)

    def _step(self, network: Network) -> Bijection:
        return Coupling(network, spline(self.bound))


_MOST_BINS = 500
"""Half of what the least width of a bin, a thousandth of the interval, leaves room for."""
