"""What encoders and decoders return, checked; your own ones may return anything."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ALIASES = {"log_var": "logvar"}
"""Second names of features, which an encoder and outputs may also use."""


def read_features(output: Any, names: tuple[str, ...]) -> dict[str, jax.Array]:
    """Return the features that a posterior reads from an encoder's output, in float32.

    Args:
        output: a dict of features; or a tuple (mean, log_var), if the posterior reads no others.
        names: of the features.

    Raises:
        ValueError: for any other output.
    """
    if isinstance(output, tuple) and len(output) == 2 and {*names} <= {"mean", "log_var"}:
        output = dict(zip(("mean", "log_var"), output, strict=True))
    found: dict[str, Any] = dict(output) if isinstance(output, dict) else {}
    features = {name: found.get(name, found.get(ALIASES.get(name, name))) for name in names}
    if any(feature is None for feature in features.values()):
        got = sorted(found) if isinstance(output, dict) else type(output).__name__
        keys = " and ".join(map(repr, names))
        raise ValueError(
            "invalid encoder output format: expected a tuple (mean, log_var) or a dict with "
            f"the keys {keys}, got {got}"
        )
    features = {name: jnp.asarray(a, jnp.float32) for name, a in features.items()}
    shapes = {name: features[name].shape for name in names if name in ("mean", "log_var")}
    if len({*shapes.values()}) > 1:
        raise ValueError(
            f"invalid encoder output format: mean has shape {shapes['mean']} and log_var "
            f"{shapes['log_var']}; they must agree"
        )
    return features


def check_decoder_output(output: Any, event: tuple[int, ...] | None, several: int) -> None:
    """Raise a ValueError unless a decoder's output is an array (batch, *event).

    Args:
        output: what the decoder returned.
        event: shape of one example, if known.
        several: numbers for each value of an example; more than one have an axis of their own.
    """
    if not isinstance(output, jax.Array):
        raise ValueError(
            "invalid decoder output format: expected an array (batch, *event), got "
            f"{type(output).__name__}"
        )
    if several == 1:
        return
    event = output.shape[1:-1] if event is None else event
    if output.shape[1:] != (*event, several):
        raise ValueError(
            f"invalid decoder output format: it has shape {output.shape}, expected (batch, "
            f"{', '.join(map(str, (*event, several)))}), {several} logits for each value (levels)"
        )


def repeated(tree: Any, rows: int, times: int) -> Any:
    """Return a tree whose arrays of so many rows hold them `times` times over, in order."""

    def repeat(a: Any) -> Any:
        if np.shape(a)[:1] != (rows,):
            return a
        return jnp.broadcast_to(a, (times, *np.shape(a))).reshape(-1, *np.shape(a)[1:])

    return tree if times == 1 else jax.tree.map(repeat, tree)
