"""The posterior of the Hamiltonian variational autoencoder."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import DiagonalNormal, Evolved
from workshop.generative_models.core.gaussian import PRNGKey
from workshop.generative_models.core.hamiltonian import Density, cooling, leapfrog
from workshop.generative_models.models.vae.posteriors.base import Posterior


class HamiltonianPosterior(Posterior):
    r"""z after K leapfrog steps on log p(x, z), from a sample of a diagonal Gaussian.

        z_0 ~ N(μ(x), diag σ²(x)),  ρ_0 = γ / √β_0,  γ ~ N(0, I)
        log q = log q(z_0|x) + log N(γ; 0, I) - log N(ρ_K; 0, I)

    Each step multiplies the momentum ρ by √β_{k-1} / √β_k < 1 (see `core.hamiltonian.cooling`), all
    together by √β_0, which the scale of ρ_0 makes up for. The KL, log q - log p(z_K), holds the
    momenta's terms, and with β = 1 the ELBO is the paper's bound. It needs cooling: a trajectory
    that only preserves the energy leaves the bound of the Gaussian as it is.

    Training takes a gradient through K + 1 gradients of the decoder. Reconstructions of the mean
    and `encode` are those of the Gaussian, where trajectories start.

    Args:
        steps: K.
        step_size: initial ε of each latent.
        max_step_size: ε stays below it.
        beta_zero: initial β_0, at most 1; with 1 there is no cooling, and none is learned.
        learned: learn ε and β_0, instead of leaving them as they are.
        latent_dim: size of z.

    References:
        Caterini, Doucet & Sejdinovic, Hamiltonian Variational Auto-Encoder, NeurIPS 2018,
        algorithm 1. Checked against anthonycaterini/hvae-nips, whose defaults these are; there
        `mnist` cools by 1/β_k instead of the paper's 1/√β_k, both quadratic in k.
        `pythae.models.HVAE` moves z by ρ in place of ρ½ and cools no momentum that is used.
    """

    has_log_prob: ClassVar[bool] = False
    reads_joint: ClassVar[bool] = True

    def __init__(
        self,
        steps: int = 5,
        step_size: float = 0.2,
        max_step_size: float = 0.5,
        beta_zero: float = 2 / 3,
        *,
        learned: bool = True,
        latent_dim: int,
    ):
        self.steps = checks.positive_int("steps", steps)
        self.max_step_size = checks.positive("max_step_size", max_step_size)
        if not 0 < step_size < max_step_size:
            raise ValueError(
                f"step_size={step_size!r}: expected 0 < step_size < max_step_size, which is "
                f"{max_step_size!r}"
            )
        self.cools = check_beta_zero(beta_zero) < 1
        self.learned = checks.flag("learned", learned)
        variable = nnx.Param if learned else nnx.Variable
        share = step_size / max_step_size
        self.step_logit = variable(jnp.full(latent_dim, jnp.log(share / (1 - share))))
        if self.cools:
            self.beta_logit = variable(jnp.log(beta_zero / (1 - jnp.asarray(beta_zero))))

    @property
    def step_size(self) -> jax.Array:
        """ε of each latent."""
        return self.max_step_size * jax.nn.sigmoid(self.step_logit[...])

    @property
    def beta_zero(self) -> jax.Array:
        """β_0."""
        return jax.nn.sigmoid(self.beta_logit[...]) if self.cools else jnp.ones(())

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ and log σ²."""
        return {"mean": latent_dim, "log_var": latent_dim}

    def __call__(
        self, features: Mapping[str, jax.Array], log_joint: Density | None = None
    ) -> Evolved:
        """Return the distribution of z_K; without `log_joint`, that of no samples."""
        start = DiagonalNormal(features["mean"], features["log_var"])
        if log_joint is None:
            return Evolved(start)
        beta_zero, step_size = self.beta_zero, self.step_size

        def move(key: PRNGKey, z: jax.Array) -> tuple[jax.Array, jax.Array]:
            gamma = jax.random.normal(key, z.shape, z.dtype)
            rho = gamma * jnp.asarray(beta_zero, z.dtype) ** -0.5
            step = step_size.astype(z.dtype)
            z, end = leapfrog(log_joint, z, rho, step, cooling(beta_zero, self.steps))
            return z, 0.5 * (jnp.square(end) - jnp.square(gamma)).sum(-1)

        return Evolved(start, move)


def check_beta_zero(beta_zero: float) -> float:
    """Return β_0 if it is above 0 and at most 1."""
    if not 0 < beta_zero <= 1:
        raise ValueError(f"beta_zero={beta_zero!r}: expected 0 < beta_zero <= 1")
    return beta_zero
