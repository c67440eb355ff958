"""The posterior of the Riemannian Hamiltonian variational autoencoder."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.distributions import DiagonalNormal, Evolved
from workshop.generative_models.core.gaussian import PRNGKey
from workshop.generative_models.core.hamiltonian import (
    Density,
    cooling,
    generalized_leapfrog,
    kinetic_energy,
)
from workshop.generative_models.core.linear_algebra import cholesky, solve_triangular
from workshop.generative_models.models.vae.posteriors.base import Posterior
from workshop.generative_models.models.vae.posteriors.hamiltonian import check_beta_zero

_LOG_DIAGONAL, _OFF_DIAGONAL = 5.0, 100.0
"""Limits of the entries of L, so that the sum of all L Lᵀ stays finite and has a Cholesky root."""
_ROUNDING = 1e-6
"""What is added to the diagonal of the metric, as a share of its trace, for the same reason."""


class RiemannianHamiltonianPosterior(Posterior):
    r"""The posterior `HamiltonianPosterior` on a manifold whose metric is learned.

        G⁻¹(z) = Σ_i L_i L_iᵀ exp(-‖c_i - z‖² / T²) + λ I
        z_0 ~ N(μ(x), diag σ²(x)),  ρ_0 ~ N(0, G(z_0) / β_0)
        log q = log q(z_0|x) + log N(√β_0 ρ_0; 0, G(z_0)) - log N(ρ_K; 0, G(z_K))

    Steps are those of the generalised leapfrog integrator. The centroids c_i are the means μ(x_i)
    of training examples, and L_i, lower triangular with a positive diagonal, is a feature of the
    encoder, the metric network. In training mode (`model.train()`, which the trainer calls) the
    metric is made of the batch and, without gradients, of the examples before it, as many as
    `centroids` in all; these are kept with the weights, and are the metric in evaluation mode.
    Before training G⁻¹ = λ I.

    Args:
        steps: K.
        step_size: ε.
        beta_zero: β_0, at most 1; with 1 there is no cooling.
        temperature: T.
        regularization: λ.
        centroids: number of training examples in the metric.
        iterations: of each implicit equation of a step, see `core.hamiltonian`. Samples have the
            density that is stated as far as these converge: more of them for a large ε.
        latent_dim: size of z.

    References:
        Chadebec, Mantoux & Allassonnière, Geometry-Aware Hamiltonian Variational Auto-Encoder, 2020
        (arXiv 2010.11518). Checked against `pythae.models.RHVAE`, whose defaults these are. That
        draws ρ_0 with L(x) in place of a root of G(z_0) in training, evaluates G⁻¹ at z alone in
        the equation for z', and cools from β_0² instead of β_0; its metric network is separate
        from the encoder, and its metric is that of the batch in training and of up to 100 batches
        in evaluation, a sum of more terms.
    """

    has_log_prob: ClassVar[bool] = False
    reads_joint: ClassVar[bool] = True

    def __init__(
        self,
        steps: int = 3,
        step_size: float = 0.001,
        beta_zero: float = 0.3,
        temperature: float = 1.5,
        regularization: float = 0.01,
        centroids: int = 100,
        iterations: int = 3,
        *,
        latent_dim: int,
    ):
        self.steps = checks.positive_int("steps", steps)
        self.step_size = checks.positive("step_size", step_size)
        self.beta_zero = check_beta_zero(beta_zero)
        self.temperature = checks.positive("temperature", temperature)
        self.regularization = checks.positive("regularization", regularization)
        self.iterations = checks.positive_int("iterations", iterations)
        shape = (checks.positive_int("centroids", centroids), latent_dim)
        self.centroids = nnx.BatchStat(jnp.zeros(shape))
        self.factors = nnx.BatchStat(jnp.zeros((*shape, latent_dim)))
        self.use_running_average = True  # set by model.train() and model.eval(), as in a BatchNorm

    def features(self, latent_dim: int) -> dict[str, int]:
        """Return the sizes of μ, log σ² and the entries of L."""
        entries = latent_dim * (latent_dim + 1) // 2
        return {"mean": latent_dim, "log_var": latent_dim, "metric": entries}

    def __call__(
        self, features: Mapping[str, jax.Array], log_joint: Density | None = None
    ) -> Evolved:
        """Return the distribution of z_K; without `log_joint`, that of no samples."""
        start = DiagonalNormal(features["mean"], features["log_var"])
        if log_joint is None:
            return Evolved(start)
        if not self.use_running_average:
            factors = lower_triangular(features["metric"], start.event_size)
            metric = self._joined(features["mean"], factors)
        else:
            metric = self.centroids[...], self.factors[...]

        def inverse_metric(z: jax.Array) -> jax.Array:
            return self.inverse_metric(z, *metric)

        def move(key: PRNGKey, z: jax.Array) -> tuple[jax.Array, jax.Array]:
            gamma = jax.random.normal(key, z.shape, z.dtype)
            root = cholesky(inverse_metric(z))  # R Rᵀ = G⁻¹, so that R⁻ᵀ γ ~ N(0, G)
            log_det = 2 * jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)).sum(-1)
            scaled = gamma[..., None] * self.beta_zero**-0.5
            rho = solve_triangular(root, scaled, transposed=True)[..., 0]
            alphas = cooling(self.beta_zero, self.steps)
            z, rho = generalized_leapfrog(
                log_joint, inverse_metric, z, rho, self.step_size, alphas, self.iterations
            )
            end = kinetic_energy(inverse_metric, z, rho)
            return z, end + 0.5 * (log_det - jnp.square(gamma).sum(-1))

        return Evolved(start, move)

    def inverse_metric(self, z: jax.Array, centroids: jax.Array, factors: jax.Array) -> jax.Array:
        """Return G⁻¹ at z (..., latent_dim), of centroids c (n, latent_dim) and their L."""
        squares = jnp.square(z[..., None, :] - centroids).sum(-1)
        weights = jnp.exp(-squares / self.temperature**2)
        products = jnp.einsum("nij,nkj->nik", factors, factors)
        total = jnp.einsum("...n,nik->...ik", weights, products)
        trace = jnp.trace(total, axis1=-2, axis2=-1)[..., None, None]
        return total + (self.regularization + _ROUNDING * trace) * jnp.eye(
            z.shape[-1], dtype=z.dtype
        )

    def _joined(self, mean: jax.Array, factors: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the centroids and L of the batch and those before it, and keep them."""
        count = len(self.centroids[...])
        centroids = jnp.concatenate([mean, self.centroids[...]])[:count]
        factors = jnp.concatenate([factors, self.factors[...]])[:count]
        self.centroids[...] = jax.lax.stop_gradient(centroids)
        self.factors[...] = jax.lax.stop_gradient(factors)
        return centroids, factors


def lower_triangular(entries: jax.Array, size: int) -> jax.Array:
    """Return L (..., size, size) of its log diagonal, and then the entries below it by rows."""
    diagonal = jnp.exp(jnp.clip(entries[..., :size], -_LOG_DIAGONAL, _LOG_DIAGONAL))
    below = jnp.clip(entries[..., size:], -_OFF_DIAGONAL, _OFF_DIAGONAL)
    rows, columns = np.tril_indices(size, -1)
    lower = jnp.zeros((*entries.shape[:-1], size, size), entries.dtype)
    lower = lower.at[..., rows, columns].set(below)
    return lower.at[..., np.arange(size), np.arange(size)].set(diagonal)
