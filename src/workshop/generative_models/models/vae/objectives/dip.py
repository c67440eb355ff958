"""Penalties on the covariance of latents."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import Distribution
from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import only_group
from workshop.generative_models.models.vae.objectives.elbo import ELBO


class DIPI(ELBO):
    r"""L = -ELBO + λ_od Σ_i≠j C_ij² + λ_d Σ_i (C_ii - 1)², C = Cov_x[μ(x)] over the batch.

    The covariance divides by the number of examples.

    Args:
        lambda_od: λ_od, the weight of the covariances.
        lambda_d: λ_d, the weight of the distance of the variances from 1.

    References:
        Kumar, Sattigeri & Balakrishnan, Variational Inference of Disentangled Latent Concepts from
        Unlabeled Observations, ICLR 2018, equation 6. Code: google-research/disentanglement_lib;
        the defaults are those of paruby/DIP-VAE for dSprites.
    """

    supports: ClassVar[tuple[str, ...]] = ("real",)
    metrics: ClassVar = {
        "dip_loss": Metric("covariance penalty", larger_is_better=False),
    }

    def __init__(self, lambda_od: float = 10.0, lambda_d: float = 100.0):
        super().__init__()
        self.lambda_od = checks.at_least("lambda_od", lambda_od, 0.0)
        self.lambda_d = checks.at_least("lambda_d", lambda_d, 0.0)

    def covariance(self, q: Distribution) -> jax.Array:
        """Return C, (latents, latents), of a batch of q(z|x)."""
        centred = q.mean - q.mean.mean(axis=0)
        return centred.T @ centred / len(centred)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:
        """Return the loss, its penalty as `dip_loss`, and `beta`, the weight of the KL."""
        losses = super().__call__(model, terms, context)
        covariance = self.covariance(only_group(self, terms).q)
        variances = jnp.diagonal(covariance)
        between = jnp.square(covariance).sum() - jnp.square(variances).sum()
        penalty = self.lambda_od * between + self.lambda_d * jnp.square(variances - 1).sum()
        return losses | {"total_loss": losses["total_loss"] + penalty, "dip_loss": penalty}


class DIPII(DIPI):
    r"""L = -ELBO + λ_od Σ_i≠j C_ij² + λ_d Σ_i (C_ii - 1)², C = Cov_x[μ(x)] + E_x[diag σ²(x)].

    C is the covariance of the aggregate posterior q(z).

    Args:
        lambda_od: λ_od, the weight of the covariances.
        lambda_d: λ_d, the weight of the distance of the variances from 1.

    References:
        Kumar, Sattigeri & Balakrishnan, Variational Inference of Disentangled Latent Concepts from
        Unlabeled Observations, ICLR 2018, equation 7. Code: google-research/disentanglement_lib,
        whose study (Locatello et al., ICML 2019) takes λ_od = λ_d between 1 and 50; paruby/DIP-VAE
        takes 80 for dSprites, which leaves the latents of smaller images little information.
    """

    needs_factors: ClassVar[bool] = True

    def __init__(self, lambda_od: float = 10.0, lambda_d: float = 10.0):
        super().__init__(lambda_od, lambda_d)

    def covariance(self, q: Distribution) -> jax.Array:
        """Return C, (latents, latents), of a batch of q(z|x)."""
        return super().covariance(q) + jnp.diag(q.variance.mean(axis=0))
