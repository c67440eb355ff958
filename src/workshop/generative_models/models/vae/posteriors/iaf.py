"""The posterior of inverse autoregressive flows."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import jax
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.bijections import (
    MADE,
    Chain,
    MaskedAutoregressive,
    Repeat,
    Reverse,
    gated,
)
from workshop.generative_models.core.distributions import Transformed
from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.posteriors.flow import bounded, flowing


class IAFPosterior(Posterior):
    """q(z|x) of T inverse autoregressive steps from z_0 ~ N(μ(x), diag σ²(x)).

        (m, s) = MADE_t(z, h(x)),  σ = sigmoid(s + 1),  z ← σ ⊙ z + (1 - σ) ⊙ m

    The context h is a feature of the encoder, added to the first hidden layer of every MADE; the
    order of the latents is reversed after each step. The density of a sample takes one pass of each
    MADE, that of another point latent_dim passes: `model(x)` returns "log_q" with its samples.

    Args:
        latent_dim: size of z.
        flows: T, the number of steps.
        hidden_dims: widths of the hidden layers of each MADE.
        rngs: for the initial weights.

    References:
        Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, NeurIPS
        2016, algorithm 1; `models/flows.py` of riannevdberg/sylvester-flows.
    """

    has_weights: ClassVar[bool] = True

    def __init__(
        self,
        latent_dim: int,
        flows: int = 2,
        hidden_dims: Sequence[int] = (320,),
        *,
        rngs: nnx.Rngs | None = None,
    ):
        if rngs is None:
            raise ValueError("IAFPosterior(rngs=None): pass rngs for the initial weights")
        self.flows = checks.positive_int("flows", flows)
        self.hidden_dims = checks.shape("hidden_dims", hidden_dims)
        self.weights = MADE(self.flows, latent_dim, self.hidden_dims, 2, "elu", rngs=rngs)

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ, log σ² and h."""
        sizes = {"mean": latent_dim, "log_var": latent_dim}
        return sizes | {"flow_context": self.hidden_dims[0]}

    def __call__(self, features: Mapping[str, jax.Array]) -> Transformed:
        """Return the distribution of z."""
        context = bounded(features["flow_context"], self.hidden_dims[0])
        step = MaskedAutoregressive(self.weights.networks(context), gated)
        return flowing(features, Repeat(Chain((step, Reverse()))))
