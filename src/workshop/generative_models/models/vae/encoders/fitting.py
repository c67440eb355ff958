"""Encoders that give what a posterior reads."""

from collections.abc import Mapping
from typing import Any

from flax import nnx


def fit_features(encoder: Any, sizes: Mapping[str, int], rngs: nnx.Rngs | None) -> nnx.Module:
    """Return an encoder that gives the features that a posterior reads.

    An encoder of your own is returned as it is, and so is one that gives mean and log-variance to a
    posterior that reads these.

    Args:
        encoder: the encoder.
        sizes: names and sizes of the features.
        rngs: for the weights of new layers.

    Raises:
        ValueError: if there are new layers to make, and no rngs for them.
    """
    if not hasattr(encoder, "with_features") or {*sizes} == {"mean", "log_var"}:
        return encoder
    if rngs is None and {*sizes} - {"mean", "log_var"}:
        raise ValueError(
            f"the posterior reads {sorted(sizes)} and rngs=None: pass rngs for new layers of the "
            "encoder"
        )
    return encoder.with_features(sizes, rngs)
