"""Hamiltonian dynamics: the leapfrog integrators of posteriors that move their samples.

A position z and a momentum ρ, with the energy H(z, ρ) = -log p(z) - log N(ρ; 0, G(z)) and G = I in
the plain case, move by maps that preserve volume and reverse: after a step from (z, ρ) to (z', ρ'),
a step from (z', -ρ') ends at (z, -ρ).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.linear_algebra import inverse_and_log_det

Density = Callable[[jax.Array], jax.Array]
"""log p(z) of positions (..., latents), up to a constant."""

LARGEST_FORCE = 1e6
"""Limit of the entries of a force, so that trajectories stay finite. Both integrators preserve
volume with any force that depends on the position alone."""


def cooling(beta_zero: ArrayLike, steps: int) -> jax.Array:
    r"""Return α_k = √β_{k-1} / √β_k, (steps,), by which step k multiplies the momentum.

    The quadratic schedule, 1/√β_k = (1 - 1/√β_0) k²/K² + 1/√β_0, rises from β_0 to 1, so that the
    product of all α_k is √β_0.

    References:
        Caterini, Doucet & Sejdinovic, Hamiltonian Variational Auto-Encoder, NeurIPS 2018,
        section 3.1.
    """
    hottest = jnp.asarray(beta_zero) ** -0.5
    fraction = jnp.arange(steps + 1) / steps
    inverse = (1 - hottest) * fraction**2 + hottest
    return inverse[1:] / inverse[:-1]


def force_of(log_density: Density) -> Density:
    """Return the function z -> ∇ log p(z), its entries limited to `LARGEST_FORCE`, NaN as 0."""

    def force(z: jax.Array) -> jax.Array:
        return _limited(jax.grad(lambda z: log_density(z).sum())(z))

    return force


def _limited(force: jax.Array) -> jax.Array:
    return jnp.clip(jnp.nan_to_num(force), -LARGEST_FORCE, LARGEST_FORCE)


def leapfrog(
    log_density: Density, z: jax.Array, rho: jax.Array, step_size: ArrayLike, alphas: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return z and ρ after a leapfrog step for each α, which multiplies ρ at its end.

        ρ½ = ρ + ½ε ∇log p(z),  z' = z + ε ρ½,  ρ' = α (ρ½ + ½ε ∇log p(z'))

    The map multiplies volume by α to the power of the number of latents. There is one more gradient
    than there are steps.

    Args:
        log_density: log p.
        z: positions (..., latents).
        rho: momenta, likewise.
        step_size: ε, a number or (latents,).
        alphas: (steps,).

    References:
        Neal, MCMC Using Hamiltonian Dynamics, 2011, section 2.3.
    """
    force = force_of(log_density)

    def step(carry: Any, alpha: jax.Array) -> tuple[Any, None]:
        z, rho, pull = carry
        half = rho + 0.5 * step_size * pull
        z = z + step_size * half
        pull = force(z)
        return (z, alpha * (half + 0.5 * step_size * pull), pull), None

    (z, rho, _), _ = jax.lax.scan(step, (z, rho, force(z)), alphas.astype(z.dtype))
    return z, rho


def kinetic_energy(inverse_metric: Density, z: jax.Array, rho: jax.Array) -> jax.Array:
    """Return -log N(ρ; 0, G(z)) of each row without the constant ½ log 2π of each latent."""
    matrix = inverse_metric(z)
    square = jnp.einsum("...i,...ij,...j->...", rho, matrix, rho)
    return 0.5 * (square - inverse_and_log_det(matrix)[1])


def generalized_leapfrog(
    log_density: Density,
    inverse_metric: Density,
    z: jax.Array,
    rho: jax.Array,
    step_size: ArrayLike,
    alphas: jax.Array,
    iterations: int,
) -> tuple[jax.Array, jax.Array]:
    r"""Return z and ρ after a generalised leapfrog step for each α, as `leapfrog` does.

        ρ½ = ρ - ½ε ∂_z H(z, ρ½)
        z' = z + ½ε (G⁻¹(z) + G⁻¹(z')) ρ½
        ρ' = α (ρ½ - ½ε ∂_z H(z', ρ½))

    The first two equations are solved by fixed-point iterations. Volume is preserved, and steps
    reverse, as far as these have converged: each reduces the error by a factor of the order of ε.

    Args:
        log_density: log p.
        inverse_metric: G⁻¹, z (..., latents) -> (..., latents, latents).
        z: positions.
        rho: momenta.
        step_size: ε.
        alphas: (steps,).
        iterations: of each of the two equations.

    References:
        Girolami & Calderhead, Riemann Manifold Langevin and Hamiltonian Monte Carlo Methods, JRSS B
        2011, equations 16 to 18.
    """
    force, half_step = force_of(log_density), 0.5 * jnp.asarray(step_size, z.dtype)

    def solved(image: Density, first: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, iterations, lambda _, point: image(point), first)

    def bend(z: jax.Array, rho: jax.Array) -> jax.Array:
        slope = jax.grad(lambda z: kinetic_energy(inverse_metric, z, rho).sum())(z)
        return _limited(slope)  # which iterations that diverge would overflow

    def velocity(z: jax.Array, rho: jax.Array) -> jax.Array:
        return jnp.einsum("...ij,...j->...i", inverse_metric(z), rho)

    def step(carry: Any, alpha: jax.Array) -> tuple[Any, None]:
        z, rho, pull = carry
        pushed = rho + half_step * pull
        half = solved(lambda half: pushed - half_step * bend(z, half), pushed)
        moved = z + half_step * velocity(z, half)
        end = solved(lambda end: moved + half_step * velocity(end, half), moved)
        pull = force(end)
        return (end, alpha * (half + half_step * (pull - bend(end, half))), pull), None

    (z, rho, _), _ = jax.lax.scan(step, (z, rho, force(z)), alphas.astype(z.dtype))
    return z, rho
