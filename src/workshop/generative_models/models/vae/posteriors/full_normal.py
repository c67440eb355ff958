"""The Gaussian posterior with a full covariance."""

from collections.abc import Mapping

import jax

from workshop.generative_models.core.distributions import FullNormal
from workshop.generative_models.models.vae.posteriors.base import Posterior


class FullNormalPosterior(Posterior):
    """q(z|x) = N(z; μ(x), L(x) L(x)ᵀ), with L lower triangular.

    The feature "log_var" is that of the diagonal of L, log L_ii²; the encoder needs
    latent_dim (latent_dim - 1) / 2 outputs for the rest. The KL to N(0, I) and to a diagonal
    Gaussian is exact.

    References:
        Kingma & Welling, An Introduction to Variational Autoencoders, 2019, section 2.5.1;
        `multivariate_normal.py` of torch.distributions.
    """

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ, of the diagonal of L, and of its entries below."""
        sizes = {"mean": latent_dim, "log_var": latent_dim}
        pairs = latent_dim * (latent_dim - 1) // 2
        return sizes | ({"off_diagonal": pairs} if pairs else {})

    def __call__(self, features: Mapping[str, jax.Array]) -> FullNormal:
        """Return N(μ, L Lᵀ)."""
        mean = features["mean"]
        off_diagonal = features.get("off_diagonal", mean[..., :0])
        return FullNormal(mean, features["log_var"], off_diagonal)
