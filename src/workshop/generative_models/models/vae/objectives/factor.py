"""FactorVAE: a penalty on the total correlation, which a critic estimates."""

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
from workshop.generative_models.models.vae.objectives.base import weighted
from workshop.generative_models.models.vae.objectives.critic import Critic, cross_entropy
from workshop.generative_models.models.vae.objectives.elbo import ELBO


class Factor(ELBO):
    r"""L = -E_q(z|x)[log p(x|z)] + KL(q(z|x) ‖ p(z)) + γ E_q(z)[D(z)].

    D is the logit of a critic that tells samples of the aggregate posterior q(z) from samples of
    the product of its marginals, so that E[D] estimates the total correlation
    KL(q(z) ‖ Π_j q(z_j)). The critic minimises

        -½ E_q(z)[log σ(D(z))] - ½ E_Πq(z_j)[log(1 - σ(D(z)))].

    The samples of q(z) are those of the first half of the batch. Those of the product come from the
    second half, with every latent permuted over the examples on its own, so that the two are
    independent. The rest of the loss reads the whole batch. An odd batch's middle example is in
    both halves.

    Args:
        latent_dim: size of z.
        gamma: γ, the weight of the total correlation. The paper takes 35 for dSprites, the study
            of Locatello et al. (ICML 2019) from 10 to 100.
        hidden_dims: widths of the critic's layers.
        critic_learning_rate: of the critic's Adam, with β₁ = 0.5 and β₂ = 0.9.
        rngs: for the initial weights of the critic.

    References:
        Kim & Mnih, Disentangling by Factorising, ICML 2018, algorithm 2 and appendix A.
        disentanglement_lib (`methods/unsupervised/vae.py`) permutes the batch that it scores;
        Pythae (`models/factor_vae`) has two halves, and the whole loss on one of them.
    """

    supports: ClassVar[tuple[str, ...]] = ("real",)
    metrics: ClassVar[Mapping[str, Metric]] = {
        "total_correlation": Metric("total correlation", "nats", larger_is_better=False)
    }

    def __init__(
        self,
        latent_dim: int,
        gamma: float = 10.0,
        hidden_dims: Sequence[int] = (1000,) * 6,
        critic_learning_rate: float = 1e-4,
        *,
        rngs: nnx.Rngs | None = None,
    ):
        super().__init__()
        self.gamma = checks.at_least("gamma", gamma, 0.0)
        self.critic_learning_rate = checks.positive("critic_learning_rate", critic_learning_rate)
        self.critic = Critic((latent_dim,), hidden_dims, rngs=rngs)

    def critic_optimizer(self) -> optax.GradientTransformation:
        """Return Adam with the paper's β₁ and β₂."""
        return create_optimizer("adam", self.critic_learning_rate, betas=(0.5, 0.9))

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:
        """Return the loss, the critic's, and the estimate of the total correlation."""
        losses = super().__call__(model, terms, context)
        z = terms.inference.z[0]
        half = (len(z) + 1) // 2
        joint, other = z[:half], jax.lax.stop_gradient(z[-half:])
        independent = jax.random.permutation(context.key, other, axis=0, independent=True)
        total_correlation = frozen(self.critic)(joint).mean()
        seen = self.critic(jax.lax.stop_gradient(joint))
        return losses | {
            "total_loss": losses["total_loss"] + weighted(self.gamma, total_correlation),
            "critic_loss": cross_entropy(seen, self.critic(independent)),
            "total_correlation": total_correlation,
        }
