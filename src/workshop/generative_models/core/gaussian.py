"""Diagonal Gaussians: sampling by reparameterisation, divergence and density, in nats."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

LOG_VAR_LIMITS = (-20.0, 20.0)
"""Log-variances are clipped to these limits wherever they are exponentiated."""

PRNGKey = Key[Array, ""] | UInt32[Array, "2"]


@jax.custom_vjp
def clip_log_var(log_var: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Clip log-variances to [-20, 20], so that their exponentials stay finite.

    Beyond the limits the gradient that the clipped value gets is passed on if a step against it
    leads back inside, and is 0 if it leads further out: an encoder that begins beyond a limit would
    otherwise stay there.
    """
    return jnp.clip(log_var, *LOG_VAR_LIMITS)


def _clip_forward(log_var: jax.Array) -> tuple[jax.Array, jax.Array]:
    low, high = LOG_VAR_LIMITS
    side = (log_var > high).astype(jnp.int8) - (log_var < low).astype(jnp.int8)
    return jnp.clip(log_var, low, high), side


def _clip_backward(side: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (jnp.where(side * gradient < 0, 0.0, gradient),)


clip_log_var.defvjp(_clip_forward, _clip_backward)


def reparameterize(
    mean: Float[Array, "*shape"], log_var: Float[Array, "*shape"], key: PRNGKey
) -> Float[Array, "*shape"]:
    """Sample z = μ + σ ⊙ ε with ε ~ N(0, I), differentiable in μ and log σ².

    Args:
        mean: μ.
        log_var: log σ², clipped to [-20, 20].
        key: the random key of ε.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014.
    """
    noise = jax.random.normal(key, mean.shape, mean.dtype)
    return mean + jnp.exp(0.5 * clip_log_var(log_var)) * noise


def kl_to_standard_normal(
    mean: Float[Array, "*shape"], log_var: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return KL(N(μ, σ²) ‖ N(0, 1)) = ½ (σ² + μ² - 1 - log σ²) of each latent, in nats."""
    log_var = clip_log_var(log_var)
    # expm1(v) - v keeps its digits near v = 0, where exp(v) - 1 - v would cancel.
    return 0.5 * (jnp.square(mean) + (jnp.expm1(log_var) - log_var))


def log_density(
    value: Float[Array, "*shape"], mean: Float[Array, "*shape"], log_var: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return log N(value; μ, σ²) = -½ (log 2π + log σ² + (value - μ)² / σ²) in nats."""
    log_var = clip_log_var(log_var)
    square = jnp.square(value - mean) * jnp.exp(-log_var)
    return -0.5 * (jnp.log(2 * jnp.pi) + log_var + square)
