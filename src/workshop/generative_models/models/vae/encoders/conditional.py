"""A wrapper that adds a class to what any encoder reads."""

from collections.abc import Mapping
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core.modules import call
from workshop.generative_models.core.pickling import Picklable
from workshop.generative_models.core.typing import ArrayLike
from workshop.generative_models.models.vae.conditioning import Condition
from workshop.generative_models.models.vae.encoders.base import Encoder, fit_features


class ConditionalEncoder(Picklable, nnx.Module):
    """Wrapper that adds a class to what any encoder reads, by copying it with room for the class.

    The copy's layers are built anew for the wider input: flat data with the class behind it, or
    images with the class as further channels, which an encoder of your own reads as well.

    Args:
        encoder: the encoder to wrap, its `input_dim` without the class.
        num_classes: number of classes.
        embed_dim: size of a learned embedding of the class; None passes it one-hot.
        rngs: for the initial weights.
        condition_type: "concat" (the standard CVAE) or "add", a learned image of the class added.

    Attributes:
        encoder: the copy.
        num_classes: number of classes.

    References:
        Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional Generative
        Models, NeurIPS 2015.
    """

    def __init__(
        self,
        encoder: nnx.Module,
        num_classes: int,
        embed_dim: int | None = None,
        *,
        rngs: nnx.Rngs,
        condition_type: str = "concat",
    ):
        self.input_dim: tuple[int, ...] | None = getattr(encoder, "input_dim", None)
        self.latent_dim = getattr(encoder, "latent_dim", None)
        self.num_classes, self.embed_dim = num_classes, embed_dim
        self.condition_type = condition_type
        self.condition = Condition(
            num_classes, embed_dim, condition_type, self.input_dim, rngs=rngs, network=encoder
        )
        extra = self.condition.extra_features
        if isinstance(encoder, Encoder):
            encoder = nnx.clone(encoder)
            if extra and encoder.input_dim is not None:
                encoder.build(self._widened(encoder.input_dim, encoder.takes_images), rngs)
        self.encoder = encoder

    def with_features(self, sizes: Mapping[str, int], rngs: nnx.Rngs) -> "ConditionalEncoder":
        """Return a copy whose encoder gives the features of a posterior."""
        wrapper = nnx.clone(self)
        wrapper.encoder = fit_features(self.encoder, sizes, rngs)
        return wrapper

    def _widened(self, shape: tuple[int, ...], takes_images: bool) -> tuple[int, ...]:
        extra = self.condition.extra_features
        return (*shape[:-1], shape[-1] + extra) if takes_images else (prod(shape) + extra,)

    def __call__(self, x: ArrayLike, condition: Any = None, *, rngs: nnx.Rngs | None = None) -> Any:
        """Return mean and log-variance of q(z|x, condition), or a dict of more features.

        Args:
            x: (batch, *event), or one example if `input_dim` is known.
            condition: integer labels (batch,), one-hot rows (batch, num_classes), or None for no
                class (all zeros).
            rngs: passed on to the encoder.
        """
        x = jnp.asarray(x)
        single = x.shape == self.input_dim
        x = x[None] if single else x
        # An encoder of one's own with images is taken for a convolutional one.
        if not getattr(self.encoder, "takes_images", x.ndim == 4):
            x = x.reshape(x.shape[0], -1)
        output = call(self.encoder, self.condition(x, condition), rngs=rngs)
        return jax.tree.map(lambda a: a[0], output) if single else output
