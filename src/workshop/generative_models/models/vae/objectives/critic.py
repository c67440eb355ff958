"""The critics of adversarial objectives: classifiers with one logit."""

from collections.abc import Sequence
from math import prod

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.critics import as_critic
from workshop.generative_models.core.layers import CNN, MLP, halvings


class Critic(nnx.Module):
    """A classifier of vectors or images, whose output is the logit of the first of two classes.

    Images (height, width, channels) pass through convolutions with stride 2, all else through
    linear layers, each with a leaky ReLU. Its parameters are `CriticParam`s.

    Args:
        event_shape: shape of one example.
        hidden_dims: widths or channels of the hidden layers.
        rngs: for the initial weights.
    """

    def __init__(
        self, event_shape: Sequence[int], hidden_dims: Sequence[int], *, rngs: nnx.Rngs | None
    ):
        if rngs is None:
            raise ValueError("rngs=None: pass rngs for the initial weights of the critic")
        self.event_shape = checks.shape("event_shape", event_shape)
        widths = checks.shape("hidden_dims", hidden_dims)
        size = widths[-1]
        if len(self.event_shape) == 3:
            *sides, channels = self.event_shape
            self.backbone: nnx.Module = CNN(widths, "leaky_relu", channels, rngs=rngs)
            size *= prod(halvings(side, len(widths))[-1] for side in sides)
        else:
            self.backbone = MLP(widths, "leaky_relu", prod(self.event_shape), rngs=rngs)
        self.head = nnx.Linear(size, 1, rngs=rngs)
        as_critic(self)

    def features(self, x: jax.Array) -> jax.Array:
        """Return the last hidden layer of examples (n, *event_shape), (n, size)."""
        x = x if len(self.event_shape) == 3 else x.reshape(len(x), -1)
        return self.backbone(x).reshape(len(x), -1)  # type: ignore[operator]

    def classified(self, features: jax.Array) -> jax.Array:
        """Return the logits of examples given their features, (n,), in float32."""
        return self.head(features)[:, 0].astype(jnp.float32)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the logits of examples (n, *event_shape), (n,)."""
        return self.classified(self.features(x))


def cross_entropy(first: jax.Array, second: jax.Array) -> jax.Array:
    """Return the mean cross entropy of the logits of two classes; log 2 of a critic that guesses.

    L = -½ E_first[log σ(l)] - ½ E_second[log(1 - σ(l))]
    """
    return 0.5 * (jax.nn.softplus(-first).mean() + jax.nn.softplus(second).mean())
