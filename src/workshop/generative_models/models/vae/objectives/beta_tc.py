"""The KL in three parts, with a weight for each."""

from typing import Any, ClassVar, get_args

import jax.numpy as jnp

from workshop.generative_models.core import checks
from workshop.generative_models.core.configuration.objectives import AggregateSampling
from workshop.generative_models.core.distributions.aggregate import aggregate_log_probs
from workshop.generative_models.models.vae.inference import BoundTerms, LossContext
from workshop.generative_models.models.vae.objectives.base import Objective, only_group


class BetaTC(Objective):
    r"""L = -E_q(z|x)[log p(x|z)] + α I(x; z) + β KL(q(z) ‖ Π_j q(z_j)) + γ KL(Π_j q(z_j) ‖ p(z)).

    The parts are mutual information, total correlation and dimension-wise KL; with
    α = β = γ = 1 their sum is the KL and L is minus the ELBO. They are means of logarithms over one
    sample of z for each example of the batch. "mws" weighs the q(z|x) of a batch of M by 1/(N M),
    N being the size of the training set, which makes q(z) too small, by up to a factor of N, and
    the mutual information too high; "mss" weighs them so that q(z) has no bias. The evaluation's
    `kl_decomposition` estimates the same parts from all examples.

    Args:
        alpha: α, the weight of the mutual information.
        beta: β, the weight of the total correlation.
        gamma: γ, the weight of the dimension-wise KL.
        sampling: how q(z) is estimated from a batch: minibatch-weighted ("mws") or
            minibatch-stratified sampling ("mss").

    References:
        Chen, Li, Grosse & Duvenaud, Isolating Sources of Disentanglement in VAEs, NeurIPS 2018.
        Code: rtqichen/beta-tcvae (its stratified weights are off the diagonal, see its pull
        request 1), and clementchadebec/benchmark_VAE.
    """

    needs_factors: ClassVar[bool] = True

    def __init__(
        self, alpha: float = 1.0, beta: float = 6.0, gamma: float = 1.0, sampling: str = "mws"
    ):
        self.alpha = checks.at_least("alpha", alpha, 0.0)
        self.beta = checks.at_least("beta", beta, 0.0)
        self.gamma = checks.at_least("gamma", gamma, 0.0)
        self.sampling = checks.one_of("sampling", sampling, get_args(AggregateSampling))

    def __call__(self, model: Any, terms: BoundTerms, context: LossContext) -> dict[str, Any]:  # noqa: ARG002
        """Return the loss and the three parts."""
        group = only_group(self, terms)
        if group.log_q is None or group.log_p is None:
            raise ValueError("outputs must hold 'z', a sample of q(z|x): BetaTC reads its density")
        (z,), (log_q,), (log_p,) = group.z, group.log_q, group.log_p
        # An evaluation may read larger batches than the training set.
        size = jnp.maximum(jnp.asarray(context.num_examples, jnp.float32), len(z))

        _, joint, marginals = aggregate_log_probs(
            group.q, z, jnp.arange(len(z)), size, self.sampling
        )
        product = marginals.sum(axis=0)
        information = jnp.mean(log_q - joint)
        correlation = jnp.mean(joint - product)
        marginal = jnp.mean(product - log_p)
        penalty = self.alpha * information + self.beta * correlation + self.gamma * marginal
        return {
            "total_loss": terms.reconstruction_loss + penalty,
            "mutual_information": information,
            "total_correlation": correlation,
            "dimension_wise_kl": marginal,
        }
