"""Random keys for sampling."""

import threading

import jax
from flax import nnx
from flax.errors import TraceContextError

_drawing = threading.Lock()


def sample_key(rngs: nnx.Rngs | None, own: nnx.Rngs | None = None) -> jax.Array:
    """Return the next key of the stream sample, default or params of `rngs`, or else of `own`.

    Threads that share streams never receive the same key.
    """
    streams = rngs if rngs is not None else own
    if streams is None:
        raise ValueError("rngs=None: this model has no random streams of its own; pass rngs")
    if not isinstance(streams, nnx.Rngs):
        raise TypeError(
            f"rngs is of type {type(streams).__name__}: expected an nnx.Rngs, such as "
            "nnx.Rngs(0), or nnx.Rngs(key) of a random key"
        )
    for name in ("sample", "default", "params"):
        if name in streams:
            break
    else:
        raise ValueError("rngs has none of the streams 'sample', 'default', 'params'")
    try:
        with _drawing:  # reading the counter and advancing it must be one step
            return streams[name]()
    except TraceContextError:
        whose = "rngs=None: the model's own random stream" if rngs is None else "rngs: the stream"
        raise ValueError(
            f"{whose} cannot advance inside jax.jit, jax.vmap or jax.grad. Make rngs from a key "
            "that is an argument of the function, as in jax.jit(lambda x, key: "
            "model.reconstruct(x, rngs=nnx.Rngs(key))), or pass rng=key to loss_fn; nnx.jit with "
            "the model as an argument also works"
        ) from None


def row_keys(rngs: nnx.Rngs | None, own: nnx.Rngs | None, rows: int) -> jax.Array:
    """Return a key for each row, so that its draws do not depend on how rows are split."""
    return jax.random.split(sample_key(rngs, own), rows)
