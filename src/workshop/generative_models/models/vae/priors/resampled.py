"""Learned accept/reject sampling: a resampled prior."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import NormaliserEstimate, ResampledNormal
from workshop.generative_models.core.layers import MLP
from workshop.generative_models.core.modules import sample_key
from workshop.generative_models.models.vae.priors.base import Prior


class Normaliser(nnx.BatchStat):
    """The moving average of the normaliser Z, which is part of checkpoints and saved models."""


class _Acceptance(nnx.Module):
    """The logit of a(z): an MLP with tanh, whose last layer begins at zero."""

    def __init__(self, latent_dim: int, hidden_dims: Sequence[int], rngs: nnx.Rngs):
        self.hidden = MLP(hidden_dims, "tanh", latent_dim, rngs=rngs)
        self.output = nnx.Linear(
            hidden_dims[-1], 1, kernel_init=nnx.initializers.zeros_init(), rngs=rngs
        )

    def __call__(self, z: jax.Array) -> jax.Array:
        return self.output(self.hidden(z))


class ResampledPrior(Prior):
    r"""p(z) = N(z; 0, I) ((1 - α) a(z) / Z + α), α = (1 - Z)^(T - 1), with a(z) in (0, 1) learned.

    These are samples of N(0, I) that a rejection sampler accepts with probability a(z), the T-th
    one in any case. It begins with a = 1/2, which is N(0, I).

    Z = E_N(0,I)[a(z)] is a moving average over training steps. In training mode (`model.train()`,
    as `Trainer.fit` calls it) each call draws S proposals and moves the average, as batch
    normalisation does with its own; the loss then has the gradient of the estimate of that step,
    which for a sample of q(z|x) includes the sample itself, see
    `ResampledNormal.log_prob_of_samples`. In evaluation mode a and Z are constants, without a
    gradient.

    Args:
        latent_dim: size of z.
        hidden_dims: widths of the layers of a, with tanh between them.
        truncation: T, at least 2.
        samples: S.
        decay: of the moving average.
        rngs: for the initial weights.

    Attributes:
        normaliser: the moving average of Z.

    References:
        Bauer & Mnih, Resampled Priors for Variational Autoencoders, AISTATS 2019. Code:
        google-research/google-research, eim/models/lars.py.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden_dims: Sequence[int] = (100, 100),
        truncation: int = 100,
        samples: int = 1024,
        decay: float = 0.99,
        *,
        rngs: nnx.Rngs | None = None,
    ):
        if rngs is None:
            raise ValueError("ResampledPrior(rngs=None): pass rngs for the initial weights")
        if checks.positive_int("truncation", truncation) < 2:
            raise ValueError(f"truncation={truncation}: expected at least 2; 1 accepts everything")
        self.latent_dim, self.truncation = latent_dim, truncation
        self.samples = checks.positive_int("samples", samples)
        self.decay = checks.at_least("decay", decay, 0.0)
        if decay >= 1:
            raise ValueError(f"decay={decay}: expected less than 1")
        self.acceptance = _Acceptance(latent_dim, hidden_dims, rngs)
        self.normaliser = Normaliser(jnp.full((), 0.5))
        self.use_running_average = True  # `train()` and `eval()` set this, as in batch norm

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> ResampledNormal:  # noqa: ARG002
        """Return p(z); in training mode with a new estimate of Z."""
        network, weights = nnx.split(self.acceptance)
        average = self.normaliser[...]
        if self.use_running_average:
            weights = jax.lax.stop_gradient(weights)
            return ResampledNormal(self.latent_dim, network, weights, self.truncation, average)
        p = ResampledNormal(self.latent_dim, network, weights, self.truncation, average)
        key = sample_key(None, model.rngs)
        accepted = jnp.exp(p.log_accept(jax.random.normal(key, (self.samples, self.latent_dim))))
        estimate = NormaliserEstimate(accepted.sum(), self.samples, average, self.decay)
        self.normaliser[...] = jax.lax.stop_gradient(estimate.smoothed(accepted.mean()))
        return ResampledNormal(
            self.latent_dim, network, weights, self.truncation, average, estimate
        )
