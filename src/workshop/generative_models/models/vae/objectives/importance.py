"""Importance weights w = p(x, z) / q(z|x) of the samples of z, and what objectives make of them."""

import jax
import jax.numpy as jnp

from workshop.generative_models.models.vae.inference import BoundTerms


def log_densities(terms: BoundTerms) -> tuple[jax.Array, jax.Array]:
    """Return log p(x, z) and log q(z|x) of the samples, each (K, B), in nats."""
    log_p, log_q = terms.inference.log_p, terms.inference.log_q
    if log_p is None or log_q is None:
        raise ValueError(
            "importance weights need samples of q(z|x) and their density: outputs must hold 'z'"
        )
    return terms.log_likelihood + log_p, log_q


def log_weights(terms: BoundTerms) -> jax.Array:
    """Return log w = log p(x, z) - log q(z|x), (K, B), in nats."""
    log_joint, log_q = log_densities(terms)
    return log_joint - log_q


def path_log_weights(terms: BoundTerms) -> jax.Array:
    """Return log w, (K, B), where log q(z|x) depends on z but not on the parameters of q.

    The values are those of `log_weights`. The gradient lacks that of log q(z|x) at a fixed z, the
    score, whose expectation is 0.
    """
    groups = terms.inference.groups
    if len(groups) != 1:
        raise ValueError(
            f"the latents have {len(groups)} groups: the gradient of log q(z|x) without the score "
            "is known for one group alone; use the objective IWAE"
        )
    group, (log_joint, _) = groups[0], log_densities(terms)
    return log_joint - jax.lax.stop_gradient(group.q).log_prob(group.z)


def log_mean(log_w: jax.Array, axis: int = 0) -> jax.Array:
    """Return log 1/K Σ_k w_k over an axis."""
    return jax.nn.logsumexp(log_w, axis=axis) - jnp.log(log_w.shape[axis])


def losses_of(total: jax.Array, log_w: jax.Array) -> dict[str, jax.Array]:
    """Return the loss, and `effective_samples`, (Σ_k w_k)² / Σ_k w_k², the mean over examples."""
    shares = jax.lax.stop_gradient(jax.nn.softmax(log_w, axis=0))
    return {"total_loss": total, "effective_samples": jnp.mean(1 / jnp.square(shares).sum(0))}
