"""How a gradient passes a choice of codes, which has none of its own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from workshop.generative_models.core.quantizers.search import unit_length


def straight_through(
    continuous: Float[Array, "*shape"], quantized: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return `quantized` exactly, with the gradient of `continuous` exactly the identity.

    References:
        Bengio, Léonard & Courville, Estimating or Propagating Gradients Through Stochastic Neurons,
        2013.
    """
    return jax.lax.stop_gradient(quantized) + (continuous - jax.lax.stop_gradient(continuous))


def rotate_to(
    continuous: Float[Array, "*places dim"], quantized: Float[Array, "*places dim"]
) -> Float[Array, "*places dim"]:
    r"""Return `quantized` exactly, with the gradient of the rotation that takes z to it.

        q = ‖q‖/‖z‖ R z,   R = I - 2 w wᵀ + 2 q̂ ẑᵀ,   w = (ẑ + q̂) / ‖ẑ + q̂‖

    R and the ratio of the lengths count as constants.

    Args:
        continuous: z, (..., dim).
        quantized: q, of the same shape.

    References:
        Fifty et al., Restructuring Vector Quantization with the Rotation Trick, ICLR 2025.
    """
    z, q = jax.lax.stop_gradient((continuous, quantized))
    z_hat, q_hat = unit_length(z), unit_length(q)
    w = unit_length(z_hat + q_hat)

    def along(a: jax.Array) -> jax.Array:
        return jnp.sum(continuous * a, axis=-1, keepdims=True)

    length = jnp.linalg.norm(q, axis=-1, keepdims=True)
    ratio = length / jnp.maximum(jnp.linalg.norm(z, axis=-1, keepdims=True), 1e-6)
    rotated = ratio * (continuous - 2 * along(w) * w + 2 * along(z_hat) * q_hat)
    return straight_through(rotated, q)
