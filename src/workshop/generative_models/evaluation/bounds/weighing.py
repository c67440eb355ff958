"""Samples of latents with their weights p(x, z) / q(z), keyed by example and by sample."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from ...core.modules import sample_key
from ...core.parameters import refuse_not_finite
from ...data import Dataset, Split
from ...data.reading import as_arrays, examples, is_map_style
from ...data.rows import Rows
from ...models.vae.inference import Inference
from ..passes import PASS, Progress, condition_of, features_of, in_steps, restored

BUDGETS = {"cpu": 2**22}
"""Bytes of the widest array of a step: on a CPU about what stays in the cache of a core."""
BUDGET = 2**28
"""The same on accelerators, which want to be full."""
TRACED = 1024
"""Samples that are traced to see how wide a step is: so many that the weights, which do not grow
with them, do not count."""


class Batch(NamedTuple):
    """The examples of a pass."""

    x: jax.Array
    """(batch, *event)."""
    condition: dict[str, Any]
    """What a conditional model reads beside."""
    keys: Key[Array, " batch"]
    """A random key for each example, from the seed and the example's number alone."""


def examples_of(where: str, model: Any, x: Any, y: Any) -> Split:
    """Return a split, an array with labels, or what `Trainer.fit` takes, as a split."""
    if isinstance(x, Split):
        if y is not None:
            raise ValueError(f"{where}: y is given twice, beside a Split and in it: leave y out")
        return x
    if y is None and (isinstance(x, dict | tuple | Dataset) or is_map_style(x)):
        given = as_arrays(f"{where}: x", x, keys=model.batch_keys, read=model.read_examples)
        x, y = given["x"], given.get("y")
    array = examples(f"{where}: x", x, model.read_examples)
    if not isinstance(array, Rows):
        array = np.asarray(array)
    if array.ndim < 2 or not len(array):
        raise ValueError(f"{where}: x has shape {array.shape}: expected (n, *event), n at least 1")
    if y is None:
        return Split(array)
    if not model.conditional:
        raise ValueError(f"{where}: y is given, but {type(model).__name__} reads no labels")
    return Split(array, model.condition_rows(f"{where}: y", y, len(array)))


def has_moving_scale(model: Any) -> bool:
    """Return whether the likelihood's scale is computed from the whole batch."""
    return getattr(model.likelihood, "scale", None) == "optimal"


def examples_to_bound(where: str, model: Any, x: Any, y: Any, *, codes: bool = False) -> Split:
    """Return `examples_of` a model that has a bound; with `codes` one whose latents are codes."""
    if not model.has_density:
        raise ValueError(
            f"{where}: q(z|x) of this model is a {type(model.posterior).__name__}, which has no "
            "density, so that there is no bound on log p(x); measure reconstructions instead"
        )
    if model.has_codes and not codes:
        raise ValueError(
            f"{where}: the latents of {type(model).__name__} are codes, chosen without chance: its "
            "bound is its ELBO with any number of samples; use elbo(model, x)"
        )
    if has_moving_scale(model):
        raise ValueError(
            f"{where}: the likelihood's scale='optimal' is chosen by each batch, which is no "
            "density of one example: pass fix_scale(model, training_data) in place of the model"
        )
    return examples_of(where, model, x, y)


def run_steps(
    begin: Callable[..., Any],
    advance: Callable[..., Any],
    finish: Callable[[Any], Any],
    model: Any,
    split: Split,
    steps: int,
    *,
    size: int = PASS,
    seed: int,
    progress: Progress,
) -> Any:
    """Return an estimate of many steps over all examples, joined; see `in_steps`.

    `begin` is a function of (graphdef, state, batch), `advance` of these, what is carried from step
    to step, and the first step and the one after the last; `finish` makes rows of what is carried.
    """
    refuse_not_finite(model)
    graphdef, state = nnx.split(model)
    key = jax.random.key(seed)

    def start(index: np.ndarray) -> tuple[Batch, Any]:
        part = split.take(index)
        model.check_data(part.x, part.y)
        batch = batch_of(model, part, example_keys(key, jnp.asarray(index)))
        return batch, begin(graphdef, state, batch)

    def go_on(carried: tuple[Batch, Any], first: int, last: int) -> tuple[Batch, Any]:
        batch, carry = carried
        bounds = jnp.asarray(first), jnp.asarray(last)
        return batch, advance(graphdef, state, batch, carry, *bounds)

    return in_steps(
        start, go_on, lambda carried: finish(carried[1]),
        len(split), steps, size=size, progress=progress,
    )  # fmt: skip


def batch_of(model: Any, part: Split, keys: Key[Array, " batch"]) -> Batch:
    """Return the examples of a split as a pass reads them."""
    return Batch(jnp.asarray(part.x), condition_of(model, part), keys)


@jax.jit
def example_keys(key: Key[Array, ""], numbers: Int[Array, " batch"]) -> Key[Array, " batch"]:
    """Return the key of each example, by its number."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)


def sample_keys(
    keys: Key[Array, " batch"], numbers: Int[Array, " samples"]
) -> Key[Array, "samples batch"]:
    """Return the keys of samples of each example, by their numbers."""
    return jax.vmap(lambda number: jax.vmap(jax.random.fold_in, (0, None))(keys, number))(numbers)


def encoded(model: Any, batch: Batch) -> dict[str, jax.Array]:
    """Return the encoder's features of each example, finite if x is."""
    return features_of(model, batch.x, rngs=nnx.Rngs(batch.keys[0]), **batch.condition)


def samples_of(
    model: Any,
    features: dict[str, jax.Array],
    keys: Key[Array, "samples batch"],
    batch: Batch | None = None,
) -> tuple[Float[Array, "samples batch latents"], Float[Array, "samples batch"]]:
    """Return samples of q(z|x) of each example, each with its own key, and log q of them.

    The batch is needed by posteriors that move samples by the gradient of log p(x, z) alone.
    """
    x, condition = (None, {}) if batch is None else (batch.x, batch.condition)

    def of_example(key: jax.Array, *given: Any) -> tuple[jax.Array, jax.Array]:
        features, condition, x = jax.tree.map(lambda a: a[None], given)
        z, log_q = model.q_of(features, condition, x).sample_and_log_prob(key)
        return z[0], log_q[0]

    given = features, condition, x
    return jax.vmap(jax.vmap(of_example), (0, *(None for _ in given)))(keys, *given)


def drawn(
    model: Any, features: dict[str, jax.Array], batch: Batch, number: Int[Array, ""]
) -> Inference:
    """Return one sample of the latents of each example; codes and point masses as they are."""
    if model.has_codes or not model.has_density:
        return model.infer(features, batch.condition, deterministic=True)
    # As a model draws that is given the key of the example and sample as `rngs`.
    keys = jax.vmap(lambda key: sample_key(nnx.Rngs(key)))(sample_keys(batch.keys, number[None])[0])
    z, log_q = samples_of(model, features, keys[None], batch)
    return model.inferred(model.posterior(features), z, log_q, batch.condition)


def log_given(model: Any, batch: Batch, z: jax.Array) -> Float[Array, " batch"]:
    """Return log p(x|z) of each example, in nats; -inf where float32 cannot hold it."""
    rngs = nnx.Rngs(batch.keys[0])
    log_p = model.conditional_log_prob(batch.x, z, rngs=rngs, **batch.condition)
    # Extreme latents may overflow in the decoder in both directions, which leaves NaN.
    return jnp.where(jnp.isnan(log_p), -jnp.inf, log_p)


def log_joint(
    model: Any, batch: Batch, z: Float[Array, "samples batch latents"]
) -> Float[Array, "samples batch"]:
    """Return log p(x|z) + log p(z) of each sample and example, in nats."""
    p = model.p_z(**batch.condition)
    return jax.vmap(lambda z: log_given(model, batch, z) + p.log_prob(z))(z)


def rows_of(model: Any, split: Split) -> int:
    """Return how many samples of latents to decode at once: as many as fill the device's budget."""
    graphdef, state = nnx.split(model)
    keys = example_keys(jax.random.key(0), jnp.arange(1))

    def step(state: Any, batch: Batch) -> jax.Array:
        at_work = restored(graphdef, state)
        keys = sample_keys(batch.keys, jnp.arange(TRACED))
        z, log_q = samples_of(at_work, encoded(at_work, batch), keys, batch)
        return log_joint(at_work, batch, z) - log_q

    traced = jax.make_jaxpr(step)(state, batch_of(model, split.take([0]), keys))
    budget = BUDGETS.get(jax.default_backend(), BUDGET)
    return max(1, budget * TRACED // widest(traced.jaxpr))


def widest(jaxpr: Any) -> int:
    """Return the bytes of the largest array that a traced function makes."""
    sizes = [1]
    for equation in jaxpr.eqns:
        arrays = [v.aval for v in equation.outvars if hasattr(v.aval, "dtype")]
        sizes += [array.size * array.dtype.itemsize for array in arrays]
        sizes += [widest(inner) for inner in jax.extend.core.jaxprs_in_params(equation.params)]
    return max(sizes)
