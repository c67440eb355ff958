"""Diagonal Gaussians: sampling by reparameterisation, divergence and density, in nats."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

LOG_VAR_LIMITS = (-20.0, 20.0)
"""Log-variances are clipped to these limits wherever they are exponentiated."""

PRNGKey = Key[Array, ""] | UInt32[Array, "2"]


def clip_log_var(log_var: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Clip log-variances to [-20, 20], so that their exponentials stay finite."""
    return clip_within(log_var, *LOG_VAR_LIMITS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def clip_within(values: Float[Array, "*shape"], low: float, high: float) -> Float[Array, "*shape"]:
    """Clip what an encoder computes to limits.

    Beyond the limits the gradient that the clipped value gets is passed on if a step against it
    leads back inside, and is 0 if it leads further out: an encoder that begins beyond a limit would
    otherwise stay there.
    """
    return jnp.clip(values, low, high)


def _clip_forward(values: jax.Array, low: float, high: float) -> tuple[jax.Array, jax.Array]:
    side = (values > high).astype(jnp.int8) - (values < low).astype(jnp.int8)
    return jnp.clip(values, low, high), side


def _clip_backward(
    low: float,  # noqa: ARG001
    high: float,  # noqa: ARG001
    side: jax.Array,
    gradient: jax.Array,
) -> tuple[jax.Array]:
    return (jnp.where(side * gradient < 0, 0.0, gradient),)


clip_within.defvjp(_clip_forward, _clip_backward)


def standard_deviation(log_var: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return σ = exp(½ log σ²), with log σ² clipped to [-20, 20]."""
    return jnp.exp(0.5 * clip_log_var(log_var))


def from_noise(
    mean: Float[Array, "..."], log_var: Float[Array, "..."], noise: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Return z = μ + σ ⊙ ε; noise may have extra axes on the left."""
    return mean + standard_deviation(log_var) * noise


def reparameterize(
    mean: Float[Array, "*shape"], log_var: Float[Array, "*shape"], key: PRNGKey
) -> Float[Array, "*shape"]:
    """Sample z = μ + σ ⊙ ε with ε ~ N(0, I), differentiable in μ and log σ².

    log σ² is clipped to [-20, 20].

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, ICLR 2014.
    """
    return from_noise(mean, log_var, jax.random.normal(key, mean.shape, mean.dtype))


def kl_to_standard_normal(
    mean: Float[Array, "*shape"], log_var: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return KL(N(μ, σ²) ‖ N(0, 1)) = ½ (σ² + μ² - 1 - log σ²) of each latent, in nats."""
    return _kl_to_standard_normal(mean, clip_log_var(log_var))


def kl_between(
    mean: Float[Array, "*shape"],
    log_var: Float[Array, "*shape"],
    other_mean: Float[Array, "*shape"],
    other_log_var: Float[Array, "*shape"],
) -> Float[Array, "*shape"]:
    """Return KL(N(μ, σ²) ‖ N(μ₂, σ₂²)) of each latent, in nats.

    The divergence does not change under z -> (z - μ₂) / σ₂, which turns the second into N(0, 1).
    """
    other_log_var = clip_log_var(other_log_var)
    standardized = _standardize(mean, other_mean, other_log_var)
    return _kl_to_standard_normal(standardized, clip_log_var(log_var) - other_log_var)


def log_density(
    value: Float[Array, "*shape"], mean: Float[Array, "*shape"], log_var: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return log N(value; μ, σ²) = -½ (log 2π + log σ² + (value - μ)² / σ²) in nats."""
    log_var = clip_log_var(log_var)
    square = jnp.square(_standardize(value, mean, log_var))
    return -0.5 * (jnp.log(2 * jnp.pi) + log_var + square)


def _kl_to_standard_normal(mean: jax.Array, log_var: jax.Array) -> jax.Array:
    # expm1(v) - v keeps its digits near v = 0, where exp(v) - 1 - v would cancel.
    return 0.5 * (jnp.square(mean) + (jnp.expm1(log_var) - log_var))


def _standardize(value: jax.Array, mean: jax.Array, log_var: jax.Array) -> jax.Array:
    """Return (value - μ) / σ of a clipped log σ²."""
    # Beyond this difference, 8e23 in float32, the square overflows for every σ. With the clip its
    # gradients do not: infinity times the 0 of an ignored term would be NaN.
    largest = float(jnp.finfo(log_var.dtype).max)
    limit = min(2 * math.sqrt(largest) * math.exp(0.5 * LOG_VAR_LIMITS[1]), largest)
    return jnp.clip(value - mean, -limit, limit) * jnp.exp(-0.5 * log_var)
