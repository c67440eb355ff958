"""What data fits a model: the shape of one example, batches told from single examples."""

from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import check_finite, is_concrete, read_data, read_labels
from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.likelihoods import Likelihood
from workshop.generative_models.core.modules import warn_once
from workshop.generative_models.core.numbers import refuse_ambiguous_bytes


class ExampleModel(GenerativeModel):
    """A model of examples of one shape, with an encoder, a decoder and a likelihood."""

    encoder: nnx.Module
    decoder: nnx.Module
    likelihood: Likelihood
    latent_dim: int

    @property
    def event_shape(self) -> tuple[int, ...] | None:
        """Shape of one example, or None when neither network of one's own tells it."""
        shape = getattr(self.decoder, "output_shape", None)
        return shape or getattr(self.encoder, "input_dim", None)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latents of one example: (latent_dim,), or a map's."""
        return getattr(self.decoder, "latent_shape", (self.latent_dim,))

    def read_batch(
        self,
        batch: Any,
        x: Any,
        kwargs: dict[str, Any],  # noqa: ARG002 - for conditional models
    ) -> tuple[Any, dict[str, Any]]:
        """Return the data of `loss_fn`'s arguments, and the condition that the networks read."""
        if isinstance(batch, dict):
            checks.batch_keys("batch", batch if x is None else {"x": x, **batch}, self.batch_keys)
            batch = batch.get("x")
        if batch is None and x is None:
            raise ValueError("loss_fn needs data: pass batch, or x")
        return x if batch is None else batch, {}

    def condition_rows(self, name: str, y: Any, n: int) -> np.ndarray:
        """Return what a conditional model reads beside n examples, a row for each.

        Args:
            name: the argument, for errors.
            y: numbers (n, ...); or one for all, a number or (1, ...).
            n: number of examples.

        Raises:
            ValueError: for other things than finite numbers, or another number of rows.
        """
        rows = np.asarray(read_labels(name, y))
        rows = rows[None] if n == 1 and rows.shape[:1] != (1,) else rows  # one example's own row
        if rows.ndim == 0 or rows.shape[0] == 1:
            rows = np.broadcast_to(rows, (n, *rows.shape[1:]))
        if rows.shape[0] != n:
            raise ValueError(
                f"{name} has shape {rows.shape}: expected a row for each of {n} examples, ({n}, "
                "...), or one for all, a number or (1, ...)"
            )
        check_finite(name, rows)
        return rows

    def build(self, batch: Any) -> None:
        """Make the layers of networks that were given no input shape, by one eager pass."""
        if any(getattr(module, "pending_rngs", None) for _, module in nnx.iter_modules(self)):
            self.forward(batch, jax.random.key(0))

    def forward(self, batch: Any, rng: jax.Array) -> dict[str, Any]:
        """Return what the model puts out for a batch, as `loss_fn(batch=batch, rng=rng)` does."""
        x, condition = self.read_batch(batch, None, {})
        return self(x, rngs=nnx.Rngs(rng), **condition)

    def as_batch(self, x: Any, name: str = "x") -> tuple[jax.Array, bool]:
        """Return x as a float batch, and whether it was a single example, told by its shape."""
        x = self.read_examples(name, x)
        _refuse_empty(name, x)
        x = jnp.asarray(x)
        if x.dtype == jnp.uint8:
            x = x.astype(jnp.float32) / 255
        event = self.event_shape
        if event is None or x.shape[1:] == event:
            return x, False
        if x.shape == event:
            return x[None], True
        raise ValueError(self._other_shape(name, x.shape))

    def _other_shape(self, name: str, shape: tuple[int, ...]) -> str:
        """Say that data has another shape than the model's, and how to give it that one."""
        event: tuple[int, ...] = self.event_shape or ()
        hint = ""
        if len(event) == 3 and shape[1:] == (event[-1], *event[:-1]):
            hint = f"; its channels come first: give numpy.moveaxis({name}, 1, -1)"
        elif event and (*shape[1:], 1) == event:
            hint = f"; give {name}[..., None]"
        elif 1 in (len(event), len(shape) - 1) and prod(shape[1:]) == prod(event):
            hint = f"; give {name}.reshape(len({name}), {', '.join(map(str, event))})"
        return (
            f"{name} has shape {shape}: expected (batch, {', '.join(map(str, event))}), or one "
            f"example {event}{hint}"
        )

    def _one_example(self, name: str, x: Any) -> jax.Array:
        if self.event_shape is None:
            raise ValueError(
                f"cannot tell whether {name} is one example: give the decoder an attribute "
                "output_shape, the shape of one example"
            )
        x, _ = self.as_batch(x, name)
        if x.shape[0] != 1:
            raise ValueError(f"{name} has {x.shape[0]} examples: expected one, such as {name}[0]")
        return x

    def read_examples(self, name: str, x: Any) -> Any:
        """Return examples as uint8 or float32; within rounding of [0, 1], if they must lie there.

        Args:
            name: the argument, for errors.
            x: what somebody passed; see `core.arrays.read_data`.

        Raises:
            ValueError: for other things than numbers that float32 can hold, and for bytes that are
                only 0 and 1.
        """
        x = read_data(name, x)
        if is_concrete(x):
            refuse_ambiguous_bytes(name, x)
        if self.likelihood.support != "unit" or not isinstance(x, np.ndarray) or not x.size:
            return x
        low, high = x.min(), x.max()
        beyond = x.dtype != np.uint8 and (low < 0 or high > 1)
        if beyond and low >= -UNIT_TOLERANCE and high <= 1 + UNIT_TOLERANCE:
            return np.clip(x, 0, 1)
        return x

    def check_data(self, x: Any, y: Any = None) -> None:  # noqa: ARG002 - for conditional models
        """Raise a ValueError if concrete data cannot be trained on: shape, NaN, or out of range."""
        if not is_concrete(x):
            return
        values = np.asarray(read_data("x", x))
        _refuse_empty("x", values)
        if self.event_shape not in (None, values.shape[1:]):
            raise ValueError(self._other_shape("x", values.shape))
        levels = self.likelihood.levels
        if values.dtype == np.uint8:
            if levels not in (None, 256):
                _refuse_between_levels(np.unique(values) / np.float32(255), levels)
            return
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            check_finite("x", values)
        tolerance = UNIT_TOLERANCE
        if self.likelihood.support == "unit" and (low < -tolerance or high > 1 + tolerance):
            raise ValueError(
                f"x lies in [{low:g}, {high:g}]: this likelihood describes data in [0, 1]; "
                "scale the data, or use likelihood='gaussian'"
            )
        for name, link, least in (("sigmoid", jax.nn.sigmoid, 0), ("tanh", jnp.tanh, -1)):
            beyond = low < least - REACH or high > 1 + REACH
            if getattr(self.likelihood, "link", None) is link and beyond:
                warn_once(
                    self,
                    "x lies in [%.3g, %.3g], where a decoder with output_activation=%r cannot "
                    "reach: build it with 'identity', or scale the data",
                    low,
                    high,
                    name,
                )
        if levels is not None:
            _refuse_between_levels(values, levels)


UNIT_TOLERANCE = 1e-6
"""How far data may lie outside [0, 1], where a likelihood describes nothing else, to be clipped:
eight times the rounding of float32 at 1, as scaling to a range leaves a few such errors. What was
never scaled, or was resized with overshoot, lies further out."""
REACH = 1e-3
"""How far data may lie beyond what a decoder's activation reaches: rounding is no news."""

LEVEL_TOLERANCE = 0.01
"""How far data may lie from a level, in steps: more than float32 rounds 65,536 levels by."""


def _from_level(values: np.ndarray, levels: int) -> np.ndarray:
    """Return how far values are from the nearest k / (levels - 1), in steps."""
    steps = values.astype(np.float32) * np.float32(levels - 1)
    return np.abs(steps - np.rint(steps))


def _refuse_between_levels(values: np.ndarray, levels: int) -> None:
    distance = _from_level(values, levels)
    if distance.max() <= LEVEL_TOLERANCE:
        return
    odd = float(values.ravel()[distance.argmax()])
    several = np.unique(values)
    fits = (n for n in range(2, 257) if _from_level(several, n).max() <= LEVEL_TOLERANCE)
    fit = next(fits, None)
    way_out = (
        "round the data to levels, or use likelihood='gaussian'"
        if fit is None
        else f"levels={fit} fits this data"
    )
    raise ValueError(
        f"x holds {odd:.6g}, which is none of the values k / {levels - 1} that levels={levels} "
        f"stands for: {way_out}"
    )


def _refuse_empty(name: str, x: Any) -> None:
    if np.shape(x)[:1] == (0,):
        raise ValueError(f"{name} holds no examples: expected a batch of at least one")
