"""The ELBO with a least variance of the means of q(z|x)."""

from typing import Any, ClassVar

import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import only_group
from workshop.generative_models.models.vae.objectives.elbo import ELBO


class MuForcing(ELBO):
    r"""L = -ELBO + λ max(0, m - V), V = ½ Σ_j Var_x[μ_j(x)] over the batch.

    V is a lower bound on the mean KL(q(z|x) ‖ N(0, I)), since that is at least ½ E_x[μᵀμ]. With
    λ > 1 the penalty pulls the means apart more strongly than the KL pulls them together, as long
    as V is below the margin m. Unlike with free bits, means that do not depend on x do not count,
    so that the posterior cannot meet the margin without telling examples apart.

    Args:
        margin: m, in nats.
        strength: λ.

    References:
        Liu et al., μ-Forcing: Training Variational Recurrent Autoencoders for Text Generation,
        ACM TALLIP 2019. Code: dayihengliu/Mu-Forcing-VRAE, whose V is the mean of Var_x[μ_j] over
        the latents and whose λ is 1, beside a KL of weight 0.1.
    """

    supports: ClassVar[tuple[str, ...]] = ("real",)
    metrics: ClassVar = {
        "mu_variance": Metric("half the variance of the means", "nats"),
    }

    def __init__(self, margin: float = 3.0, strength: float = 2.0):
        super().__init__()
        self.margin = checks.at_least("margin", margin, 0.0)
        self.strength = checks.at_least("strength", strength, 0.0)

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:
        """Return the loss, V as `mu_variance`, and `beta`, the weight of the KL."""
        losses = super().__call__(model, terms, context)
        variance = 0.5 * jnp.var(only_group(self, terms).q.mean, axis=0).sum()
        penalty = self.strength * jnp.maximum(self.margin - variance, 0.0)
        return losses | {"total_loss": losses["total_loss"] + penalty, "mu_variance": variance}
