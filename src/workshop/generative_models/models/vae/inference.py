"""What a pass through a model leaves for its objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from workshop.generative_models.core.distributions import Distribution, kl

_OBJECTIVE = 0x0B7EC7
"""What sets an objective's random numbers apart from those of the forward pass."""


class Group(NamedTuple):
    """Latents with their own q and p; K samples of B examples."""

    q: Distribution
    """q(z|x)."""
    p: Distribution
    """p(z)."""
    z: jax.Array
    """Samples of q, (K, B, latent_dim)."""
    log_q: jax.Array | None
    """log q(z|x), (K, B), in nats; None if q has no density."""
    log_p: jax.Array | None
    """log p(z), (K, B), in nats; None if q has no density."""

    def kl(self) -> jax.Array:
        """Return KL(q ‖ p): (B, latent_dim) if it is a sum over latents, else (B,).

        Where there is no closed form, this is the mean of log q - log p over the samples.
        """
        closed = kl(self.q, self.p)
        if closed is not None:
            return closed.astype(jnp.float32)
        if self.log_q is None or self.log_p is None:
            raise ValueError(
                f"KL({type(self.q).__name__} ‖ {type(self.p).__name__}) has no closed form, and "
                "there is no sample to estimate it with: outputs must hold 'z', a sample of q(z|x)"
            )
        return jnp.mean(self.log_q - self.log_p, axis=0)


@jax.custom_vjp
def weighable(z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return z (K, B, ...), and zeros (2, K, B) by which a loss weighs the gradient of z.

    The gradient that z passes back is multiplied by the ratio of the gradients that the two rows of
    zeros get: by w for a loss with the term sum(zeros[0] * w + zeros[1]), whose value is 0. Zeros
    that no loss reads leave the gradient as it is. A ratio, so that c times a loss has c times its
    gradient.
    """
    first = z.reshape(*z.shape[:2], -1)[..., 0]
    # Zeros that depend on z: under `jax.vmap` every batch then has its own, and their gradients.
    zeros = jnp.where(jnp.isnan(first), 0.0, 0.0).astype(z.dtype)
    return z, jnp.stack([zeros, zeros])


def _weighable_forward(z: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
    return weighable(z), None


def _weighable_backward(_: None, gradients: tuple[jax.Array, jax.Array]) -> tuple[jax.Array]:
    of_z, (weighed, plain) = gradients
    unread = plain == 0
    ratio = jnp.where(unread, 1.0, weighed / jnp.where(unread, 1.0, plain))
    return (of_z * ratio.reshape(ratio.shape + (1,) * (of_z.ndim - 2)),)


weighable.defvjp(_weighable_forward, _weighable_backward)


@dataclass(frozen=True)
class Inference:
    """Latents of a batch: K samples of B examples."""

    z: jax.Array
    """The decoder's input, (K, B, *latent_shape)."""
    log_q: jax.Array | None
    """log q(z|x), (K, B), in nats; None if q has no density."""
    log_p: jax.Array | None
    """log p(z), (K, B), in nats; None if q has no density."""
    groups: tuple[Group, ...] = ()
    """One of flat latents; none of codes."""
    code_kl: jax.Array | None = None
    """KL of each code, (B, codes), in nats; None of other latents."""
    outputs: dict[str, Any] = field(default_factory=dict)
    """What else the forward pass returns, by name."""
    zeros: jax.Array | None = None
    """What `weighable` returned beside z, (2, K, B); None unless the objective `weighs_latents`."""

    @classmethod
    def flat(
        cls, q: Distribution, p: Distribution, z: jax.Array, log_q: jax.Array | None, *, weigh: bool
    ) -> "Inference":
        """Return samples z (K, B, latent_dim) of one q(z|x) with one p(z).

        Args:
            q: q(z|x).
            p: p(z).
            z: the samples.
            log_q: log q(z|x) of them, (K, B); None if it is not known, or if q has no density.
            weigh: whether a loss may weigh the gradient of z, with `weighing`.
        """
        z, zeros = weighable(z) if weigh else (z, None)
        log_p = None if log_q is None else p.log_prob_of_samples(z, log_q)
        outputs = {}
        if log_q is not None and not q.explicit_density:
            outputs["log_q"] = log_q.reshape(-1)
        groups = (Group(q, p, z, log_q, log_p),)
        return cls(z, log_q, log_p, groups, outputs=outputs, zeros=zeros)

    def kl(self) -> jax.Array:
        """Return KL(q ‖ p): (B, latents) if it is a sum over latents or codes, else (B,)."""
        if self.code_kl is not None:
            return self.code_kl
        each = [group.kl() for group in self.groups]
        if len(each) == 1:
            return each[0]
        return sum((term.reshape(len(term), -1).sum(-1) for term in each), jnp.zeros(()))

    def weighing(self, weights: jax.Array) -> jax.Array:
        """Return 0, a term of the loss that multiplies the gradient through z by weights (K, B).

        What depends on z (the decoder's output, log p(z)) has the same gradient in its own
        parameters with the term or without; only what z depends on, the encoder, sees the weights.
        """
        if self.zeros is None:
            raise ValueError(
                "the objective weighs the gradient of z: set its weighs_latents = True"
            )
        weights = jax.lax.stop_gradient(weights)
        return jnp.sum(self.zeros[0] * weights + self.zeros[1])


class BoundTerms(NamedTuple):
    """The terms of the bound on log p(x) for a batch."""

    x: jax.Array
    """The examples, (B, *event)."""
    log_likelihood: jax.Array
    """log p(x|z), (K, B), in nats."""
    inference: Inference
    """The latents."""
    outputs: Mapping[str, Any]
    """What the forward pass returned, by name; the decoder's outputs have K·B rows."""
    condition: Mapping[str, Any] = MappingProxyType({})
    """What a conditional model reads besides the data, {"y": ...}; else empty."""

    @property
    def reconstructed(self) -> jax.Array:
        """Return E[x|z], (K, B, *event)."""
        rows = read(self.outputs, "reconstructed", "reconstruction")
        return rows.reshape(*self.log_likelihood.shape, *self.x.shape[1:])

    @property
    def reconstruction_loss(self) -> jax.Array:
        """-log p(x|z), the mean over samples and examples."""
        return -jnp.mean(self.log_likelihood)


class LossContext:
    """What an objective may depend on besides the terms of the bound.

    Args:
        step: the training step, traced or not; None stands for the end of every schedule.
        key: a random key, for objectives that draw.
        num_examples: number of training examples.
        beta: weight of the KL in place of the objective's own.
    """

    def __init__(
        self,
        step: ArrayLike | None = None,
        key: jax.Array | None = None,
        num_examples: ArrayLike | None = None,
        beta: ArrayLike | None = None,
    ):
        self.step = step
        self.beta_was_read = False
        self._beta, self._key, self._num_examples = beta, key, num_examples

    @property
    def beta(self) -> ArrayLike | None:
        """Weight of the KL in place of the objective's own; None if it was not given."""
        self.beta_was_read = True
        return self._beta

    @property
    def num_examples(self) -> ArrayLike:
        """Number of training examples; an error if `loss_fn` was not given it."""
        if self._num_examples is None:
            raise ValueError(
                "this objective depends on the size of the training set: pass "
                "loss_fn(..., num_examples=N); Trainer.fit does so"
            )
        return self._num_examples

    @property
    def key(self) -> jax.Array:
        """A random key; an error if `loss_fn` was not given one."""
        if self._key is None:
            raise ValueError("this objective draws random numbers: pass loss_fn(..., rng=key)")
        # The forward pass draws from the key itself: without this, a prior sample of an objective
        # would have the noise of the sample of q(z|x).
        return jax.random.fold_in(self._key, _OBJECTIVE)


def read(outputs: Mapping[str, Any], *names: str) -> jax.Array:
    """Return an output of a forward pass under the first of its names that is there."""
    for name in names:
        if name in outputs:
            return outputs[name]
    raise ValueError(f"outputs have the keys {sorted(outputs)}: expected {' or '.join(names)}")
