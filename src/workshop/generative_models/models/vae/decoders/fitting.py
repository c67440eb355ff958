"""Decoders that give what a likelihood reads."""

from typing import Any

from flax import nnx


def fit_parameters(decoder: Any, parameters_per_value: int, rngs: nnx.Rngs | None) -> nnx.Module:
    """Return a decoder that gives as many numbers for each value as a likelihood reads.

    A decoder of one's own, and one that does so already, comes back as it is.

    Raises:
        ValueError: if its last layer must be built anew, and there are no rngs for it.
    """
    if getattr(decoder, "parameters_per_value", None) in (None, parameters_per_value):
        return decoder
    if rngs is None:
        raise ValueError(
            f"the likelihood reads {parameters_per_value} numbers for each value and the decoder "
            f"gives {decoder.parameters_per_value}, but rngs=None: pass rngs for a new last layer"
        )
    return decoder.with_parameters(parameters_per_value, rngs)
