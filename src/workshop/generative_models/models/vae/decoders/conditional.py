"""A wrapper that adds a class to the latents that any decoder reads."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core.modules import call
from workshop.generative_models.core.pickling import Picklable
from workshop.generative_models.core.typing import ArrayLike
from workshop.generative_models.models.vae.conditioning import Condition
from workshop.generative_models.models.vae.decoders.base import Decoder


class ConditionalDecoder(Picklable, nnx.Module):
    """Wrapper that adds a class to the latents that any decoder reads, by copying it with room.

    Args:
        decoder: the decoder to wrap, its `latent_dim` without the class.
        num_classes: number of classes.
        embed_dim: size of a learned embedding of the class; None passes it one-hot.
        rngs: for the initial weights.
        condition_type: "concat" (the standard CVAE) or "add", a learned shift of z.

    Attributes:
        decoder: the copy.
        num_classes: number of classes.

    References:
        Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional Generative
        Models, NeurIPS 2015.
    """

    def __init__(
        self,
        decoder: nnx.Module,
        num_classes: int,
        embed_dim: int | None = None,
        *,
        rngs: nnx.Rngs,
        condition_type: str = "concat",
    ):
        self.latent_dim: int | None = getattr(decoder, "latent_dim", None)
        latents = None if self.latent_dim is None else (self.latent_dim,)
        self.num_classes, self.embed_dim = num_classes, embed_dim
        self.condition_type = condition_type
        self.condition = Condition(
            num_classes, embed_dim, condition_type, latents, rngs=rngs, network=decoder
        )
        if isinstance(decoder, Decoder):
            decoder = nnx.clone(decoder)
            if self.condition.extra_features:
                decoder.build(decoder.latent_dim + self.condition.extra_features, rngs)
        for name in ("output_shape", "output_activation"):
            if hasattr(decoder, name):
                setattr(self, name, getattr(decoder, name))
        self.decoder = decoder

    @property
    def parameters_per_value(self) -> int | None:
        """How many numbers the decoder gives for each value; None if it does not say."""
        return getattr(self.decoder, "parameters_per_value", None)

    def with_parameters(self, parameters_per_value: int, rngs: nnx.Rngs) -> "ConditionalDecoder":
        """Return a copy whose decoder gives so many numbers for each value."""
        wrapper = nnx.clone(self)
        wrapper.decoder = self.decoder.with_parameters(parameters_per_value, rngs)  # type: ignore
        return wrapper

    def start_at(
        self, mean: np.ndarray, output_of: Callable[[np.ndarray], np.ndarray | None]
    ) -> None:
        """Do what the wrapped decoder's `start_at` does, if it has one."""
        if isinstance(self.decoder, Decoder):
            self.decoder.start_at(mean, output_of)

    def __call__(
        self, z: ArrayLike, condition: Any = None, *, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Return the unsquashed output (batch, *output_shape).

        Args:
            z: (batch, latent_dim), or (latent_dim,) of one example.
            condition: integer labels (batch,), one-hot rows (batch, num_classes), or None for no
                class (all zeros).
            rngs: passed on to the decoder.
        """
        z = jnp.asarray(z)
        single = z.ndim == 1
        z = z[None] if single else z
        if self.latent_dim not in (None, z.shape[-1]):
            raise ValueError(
                f"ConditionalDecoder: z has shape {z.shape}, expected (batch, {self.latent_dim})"
            )
        output = call(self.decoder, self.condition(z, condition), rngs=rngs)
        return output[0] if single else output
