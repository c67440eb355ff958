"""The parts of `VAE.loss_fn`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from workshop.generative_models.models.vae.inference import BoundTerms, read
from workshop.generative_models.models.vae.networks import repeated

LOSS_OPTIONS = ("step", "num_examples", "kl_per_dimension", "y", "rngs")
"""What `loss_fn` reads of its further arguments."""


def x_and_outputs(first: Any, second: Any, x: Any, outputs: Any) -> tuple[None, None, Any, Any]:
    """Return the arguments of `loss_fn(x, outputs)` under their own names."""
    if x is not None or (second is not None and outputs is not None):
        raise ValueError(
            "loss_fn: x is given twice: pass loss_fn(x, outputs), loss_fn(params, batch, rng), or "
            "names such as loss_fn(x=x, outputs=outputs)"
        )
    outputs = second if outputs is None else outputs
    if outputs is not None and not isinstance(outputs, dict):
        raise ValueError(
            f"loss_fn(x, outputs): outputs is of type {type(outputs).__name__}, expected the dict "
            "that model(x) returns; with parameters of your own pass nnx.state(model, nnx.Param) "
            "first"
        )
    return None, None, first, outputs


def log_likelihoods(
    model: Any,
    x: jax.Array,
    outputs: dict[str, Any],
    samples: int,
    reconstruction_loss_fn: Callable[[jax.Array, jax.Array], jax.Array] | None,
) -> jax.Array:
    """Return log p(x|z) of each sample and example, (samples, batch), in nats."""
    rows = repeated(x, len(x), samples)
    if reconstruction_loss_fn is None:
        found = model.log_likelihood(rows, outputs)
    else:
        loss = reconstruction_loss_fn(read(outputs, "reconstructed", "reconstruction"), rows)
        loss = jnp.asarray(loss)
        each = loss.reshape(*loss.shape[:1], -1).sum(-1)
        found = -jnp.broadcast_to(each, (len(rows),))
    return found.reshape(samples, len(x))


def named_losses(terms: BoundTerms, made: dict[str, Any], *, has_density: bool) -> dict[str, Any]:
    """Return the losses under all the reference's keys.

    Args:
        terms: of the bound; without a density of q there is no KL and no ELBO.
        made: what the objective returned.
        has_density: whether q has one.
    """
    reconstruction = terms.reconstruction_loss
    named: dict[str, Any] = {
        "reconstruction_loss": reconstruction,
        "recon_loss": reconstruction,
    }
    if has_density:
        kl = terms.inference.kl().mean(0).sum()
        named |= {"kl_loss": kl, "elbo": -(reconstruction + kl)}
    return {**named, **made, "loss": made["total_loss"]}
