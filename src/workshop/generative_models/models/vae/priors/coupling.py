"""The prior of affine coupling layers."""

from collections.abc import Sequence

from flax import nnx

from workshop.generative_models.core.bijections import (
    Bijection,
    Conditioner,
    Coupling,
    Network,
    affine,
)
from workshop.generative_models.models.vae.priors.flow import FlowPrior


class CouplingPrior(FlowPrior):
    """p(z) of a real NVP: T steps that scale and shift one half of z by functions of the other.

        (a, m) = network(u_a),  u_b ← exp(a) ⊙ u_b + m,  u ~ N(0, I)

    Sampling and density take one pass of each network.

    Args:
        latent_dim: size of z.
        flows: T, the number of steps.
        hidden_dims: widths of the hidden layers of each network.
        rngs: for the initial weights.

    References:
        Dinh, Sohl-Dickstein & Bengio, Density Estimation using Real NVP, ICLR 2017; `realnvp.py`
        and `coupling.py` of bayesiains/nflows.
    """

    def __init__(
        self,
        latent_dim: int,
        flows: int = 5,
        hidden_dims: Sequence[int] = (100,),
        *,
        rngs: nnx.Rngs | None = None,
    ):
        super().__init__(latent_dim, flows, hidden_dims, rngs=rngs)

    def _weights(self, flows: int, hidden_dims: tuple[int, ...], rngs: nnx.Rngs) -> Conditioner:
        kept = self.latent_dim // 2
        sizes = [kept, *hidden_dims, 2 * (self.latent_dim - kept)]
        return Conditioner(flows, sizes, "relu", rngs=rngs)

    def _step(self, network: Network) -> Bijection:
        return Coupling(network, affine)
