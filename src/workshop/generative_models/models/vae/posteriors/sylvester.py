"""The posterior of Sylvester flows."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.core.bijections import Chain, Repeat, Reverse, Sylvester
from workshop.generative_models.core.distributions import Transformed
from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.posteriors.flow import bounded, flowing

_LARGEST = 1 - 1e-4
"""Limit of the diagonals of R and R̃; a step with a product of -1 has no inverse."""


class SylvesterPosterior(Posterior):
    """q(z|x) of z = f_T ∘ … ∘ f_1 (z_0), f_t(z) = z + Q_t R_t tanh(R̃_t Q_tᵀz + b_t).

    z_0 ~ N(μ(x), diag σ²(x)); Q, R, R̃ and b of every step are features of the encoder, the
    diagonals of R and R̃ through tanh. Q is a product of Householder reflections (H-SNF). Without
    reflections Q is the identity, and the order of the latents is reversed after each step
    (T-SNF). See `core.bijections.Sylvester`.

    Args:
        flows: T, the number of steps.
        reflections: Householder reflections in each Q; 0 is the triangular flow.

    References:
        van den Berg et al., Sylvester Normalizing Flows for Variational Inference, UAI 2018;
        `models/VAE.py` of riannevdberg/sylvester-flows.
    """

    def __init__(self, flows: int = 4, reflections: int = 8):
        self.flows = checks.positive_int("flows", flows)
        self.reflections = int(checks.at_least("reflections", reflections, 0))

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ, log σ², and of the parts of Q, R, R̃ and b of all steps."""
        each = self.flows * latent_dim
        sizes = {
            "mean": latent_dim,
            "log_var": latent_dim,
            "flow_triangles": each * latent_dim,
            "flow_diagonals": 2 * each,
            "flow_b": each,
        }
        return sizes | ({"flow_v": each * self.reflections} if self.reflections else {})

    def __call__(self, features: Mapping[str, jax.Array]) -> Transformed:
        """Return the distribution of z."""
        size = features["mean"].shape[-1]
        triangles = bounded(features["flow_triangles"], self.flows, size, size)
        diagonals = _LARGEST * jnp.tanh(features["flow_diagonals"])
        diagonals = bounded(diagonals, 2, self.flows, size)
        # R above the diagonal of a square of features, R̃ below it, transposed.
        outer, inner = (
            jnp.triu(square, 1) + diagonals[..., i, :, :, None] * jnp.eye(size)
            for i, square in enumerate((triangles, triangles.mT))
        )
        bias = bounded(features["flow_b"], self.flows, size)
        if not self.reflections:
            step = Sylvester(outer, inner, jnp.zeros((self.flows, 0, size)), bias)
            return flowing(features, Repeat(Chain((step, Reverse()))))
        vectors = bounded(features["flow_v"], self.flows, self.reflections, size)
        return flowing(features, Repeat(Sylvester(outer, inner, vectors, bias)))
