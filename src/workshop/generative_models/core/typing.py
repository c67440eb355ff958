"""Names for the types that the whole library passes around."""

from typing import Any, NotRequired, TypedDict

import jax
from jax.typing import ArrayLike as ArrayLike
from jax.typing import DTypeLike as DTypeLike

Precision = jax.lax.Precision | str | None


class Outputs(TypedDict):
    """What a forward pass returns: B examples, latents z, reconstructions in the data's shape."""

    reconstructed: jax.Array
    """E[x|z], (B, *event)."""
    reconstruction: jax.Array
    """The same array as `reconstructed`."""
    logits: jax.Array
    """The decoder's output before its activation."""
    mean: jax.Array
    """Of q(z|x), (B, latent_dim)."""
    log_var: jax.Array
    """Log-variance of q(z|x), (B, latent_dim)."""
    logvar: jax.Array
    """The same array as `log_var`."""
    z: jax.Array
    """What was decoded, (B, latent_dim): a sample of q(z|x), or its mean."""


class Losses(TypedDict):
    """What `loss_fn` returns: scalars in nats per example, means over the batch."""

    reconstruction_loss: jax.Array
    """-log p(x|z)."""
    recon_loss: jax.Array
    """The same number as `reconstruction_loss`."""
    kl_loss: jax.Array
    """KL(q(z|x) ‖ p(z))."""
    total_loss: jax.Array
    """What training minimises."""
    loss: jax.Array
    """The same number as `total_loss`."""
    elbo: jax.Array
    """-(reconstruction_loss + kl_loss): no weight, no free bits."""
    beta: NotRequired[jax.Array]
    """The weight of the KL."""
    kl_per_dimension: NotRequired[jax.Array]
    """The KL of each latent, (latent_dim,), where it was asked for."""
    statistics: NotRequired[Any]
    """What `update_statistics` folds into the state that gradients do not train."""
