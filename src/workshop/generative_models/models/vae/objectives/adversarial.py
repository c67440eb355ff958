"""The adversarial autoencoder: a critic in latent space in place of the KL."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import optax
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.critics import frozen
from workshop.generative_models.core.metrics import Metric
from workshop.generative_models.core.optimizers import create_optimizer
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective, weighted
from workshop.generative_models.models.vae.objectives.critic import Critic, cross_entropy


class Adversarial(Objective):
    r"""L = -E_q(z|x)[log p(x|z)] - λ E_q(z)[log σ(D(z))].

    D is the logit of a critic that tells samples of the prior from samples of the aggregate
    posterior q(z). The critic minimises

        -½ E_p(z)[log σ(D(z))] - ½ E_q(z)[log(1 - σ(D(z)))].

    No density of q(z|x) is read: a point mass is the paper's deterministic encoder, a diagonal
    Gaussian its second kind. The prior is sampled and not trained.

    Args:
        latent_dim: size of z.
        adversarial_weight: λ.
        hidden_dims: widths of the critic's layers.
        critic_learning_rate: of the critic's Adam, with β₁ = 0.5 and β₂ = 0.999.
        rngs: for the initial weights of the critic.

    References:
        Makhzani et al., Adversarial Autoencoders, 2015, who update the reconstruction and the
        adversarial term in turn; the sum with λ = 10 is that of Tolstikhin et al., Wasserstein
        Auto-Encoders, ICLR 2018, algorithm 1. Pythae (`models/adversarial_ae`) weighs the two terms
        with 1 - s and s.
    """

    needs_density: ClassVar[bool] = False
    metrics: ClassVar[Mapping[str, Metric]] = {
        "adversarial_loss": Metric("adversarial loss", "nats", larger_is_better=False)
    }

    def __init__(
        self,
        latent_dim: int,
        adversarial_weight: float = 10.0,
        hidden_dims: Sequence[int] = (1000, 1000),
        critic_learning_rate: float = 5e-4,
        *,
        rngs: nnx.Rngs | None = None,
    ):
        self.adversarial_weight = checks.at_least("adversarial_weight", adversarial_weight, 0.0)
        self.critic_learning_rate = checks.positive("critic_learning_rate", critic_learning_rate)
        self.critic = Critic((latent_dim,), hidden_dims, rngs=rngs)

    def critic_optimizer(self) -> optax.GradientTransformation:
        """Return Adam with a short memory of the gradient, as is usual for critics."""
        return create_optimizer("adam", self.critic_learning_rate, betas=(0.5, 0.999))

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the loss, the critic's, and the adversarial term."""
        z, p = terms.inference.z[0], terms.inference.groups[0].p
        drawn = p.sample(context.key, () if p.batch_shape else (len(z),))
        adversarial = jax.nn.softplus(-frozen(self.critic)(z)).mean()
        of_prior, of_data = (self.critic(jax.lax.stop_gradient(each)) for each in (drawn, z))
        return {
            "total_loss": terms.reconstruction_loss
            + weighted(self.adversarial_weight, adversarial),
            "critic_loss": cross_entropy(of_prior, of_data),
            "adversarial_loss": adversarial,
        }
