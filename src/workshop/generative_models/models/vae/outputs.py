"""What networks return, checked, and the losses computed from it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from workshop.generative_models.models.vae.inference import BoundTerms, read

ALIASES = {"log_var": "logvar"}
"""Second names of features, which an encoder and outputs may also use."""
LOSS_OPTIONS = ("step", "num_examples", "kl_per_dimension", "y", "rngs")
"""What `loss_fn` reads of its further arguments."""


def read_features(output: Any, names: tuple[str, ...]) -> dict[str, jax.Array]:
    """Return the features of these names from an encoder's output, in float32.

    The output is a dict of features, or a tuple (mean, log_var) if there are no others.
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

    With several numbers for each value of an example these are a further axis.
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
    """Return what the objective made, and the terms of the bound, under the reference's keys."""
    reconstruction = terms.reconstruction_loss
    named = {"reconstruction_loss": reconstruction, "recon_loss": reconstruction}
    if has_density:
        kl = terms.inference.kl().mean(0).sum()
        named |= {"kl_loss": kl, "elbo": -(reconstruction + kl)}
    return {**named, **made, "loss": made["total_loss"]}
