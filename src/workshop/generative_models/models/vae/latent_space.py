"""Samples, reconstructions and paths through the latent space of a trained model."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import is_concrete
from workshop.generative_models.core.keys import row_keys, sample_key
from workshop.generative_models.models.vae.examples import ExampleModel


def check_temperature(temperature: Any) -> None:
    """Refuse a temperature that is negative or no number; a traced one is taken on trust."""
    if is_concrete(temperature):
        checks.at_least("temperature", temperature, 0.0)


class LatentSpaceModel(ExampleModel):
    """A model with a latent space to move in, given how it encodes, decodes and takes latents."""

    rngs: nnx.Rngs | None

    def encode(
        self, x: ArrayLike, *, rngs: nnx.Rngs | None = None, **condition: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Return mean and log-variance of q(z|x)."""
        raise NotImplementedError

    def latents(
        self,
        mean: jax.Array,
        log_var: jax.Array,
        *,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> dict[str, Any]:
        """Return {"z": what the decoder reads} and whatever else the forward pass shall report."""
        raise NotImplementedError

    def decode(self, z: ArrayLike, *, rngs: nnx.Rngs | None = None, **condition: Any) -> jax.Array:
        """Return E[x|z]."""
        raise NotImplementedError

    def _observed(
        self,
        z: jax.Array,
        rngs: nnx.Rngs | None,
        condition: dict[str, Any],
        keys: jax.Array | None = None,
    ) -> jax.Array:
        """Return E[x|z], or a draw from p(x|z) with the key of each row."""
        raise NotImplementedError

    def _decode_or_draw(
        self,
        z: jax.Array,
        rngs: nnx.Rngs | None,
        condition: dict[str, Any],
        *,
        observation_noise: bool,
    ) -> jax.Array:
        """Return E[x|z], or with observation noise a draw from p(x|z)."""
        if not checks.flag("observation_noise", observation_noise):
            return self.decode(z, rngs=rngs, **condition)
        return self._observed(z, rngs, condition, self._row_keys(rngs, len(z)))

    def _row_keys(self, rngs: nnx.Rngs | None, rows: int) -> jax.Array:
        """Return a key for each row, which makes its draws independent of how rows are split."""
        return row_keys(rngs, self.rngs, rows)

    def sample(
        self,
        n_samples: int = 1,
        *,
        temperature: float = 1.0,
        rngs: nnx.Rngs | None = None,
        observation_noise: bool = False,
        **condition: Any,
    ) -> jax.Array:
        """Sample z from the prior N(0, temperature² I) and decode it: (n_samples, *event).

        The result is E[x|z], without the noise of p(x|z), unless `observation_noise` is set.

        Args:
            n_samples: a Python int; static under `jax.jit` and `nnx.jit`.
            temperature: factor on the prior's standard deviation.
            rngs: source of the samples; the model's own if None.
            observation_noise: draw x ~ p(x|z) instead of returning its mean.
            condition: of a conditional model, the labels `y`.

        Raises:
            ValueError: for observation noise of a likelihood that cannot be sampled.
        """
        n_samples = checks.positive_int("n_samples", n_samples)
        check_temperature(temperature)
        noise = jax.random.normal(sample_key(rngs, self.rngs), (n_samples, self.latent_dim))
        return self._decode_or_draw(
            temperature * noise, rngs, condition, observation_noise=observation_noise
        )

    def generate(
        self,
        n_samples: int = 1,
        *,
        temperature: float = 1.0,
        rngs: nnx.Rngs | None = None,
        observation_noise: bool = False,
        **kwargs: Any,
    ) -> jax.Array:
        """Call `sample`; the name of the GenerativeModel interface.

        Other keyword arguments are accepted for compatibility, and warned of.
        """
        checks.warn_keywords(self.generate, kwargs)
        return self.sample(
            n_samples, temperature=temperature, rngs=rngs, observation_noise=observation_noise
        )

    def reconstruct(
        self,
        x: ArrayLike,
        *,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
        observation_noise: bool = False,
        **condition: Any,
    ) -> jax.Array:
        """Return x encoded and decoded again, (batch, *event).

        Args:
            x: (batch, *event), or one example.
            deterministic: decode the mean of q(z|x) instead of a sample.
            rngs: source of the sample; the model's own if None.
            observation_noise: draw from p(x|z) instead of returning its mean.
            condition: of a conditional model, the labels `y`.

        Raises:
            ValueError: for observation noise of a likelihood that cannot be sampled.
        """
        x, single = self.as_batch(x)
        mean, log_var = self.encode(x, rngs=rngs, **condition)
        z = self._z(mean, log_var, deterministic=deterministic, rngs=rngs)
        made = self._decode_or_draw(z, rngs, condition, observation_noise=observation_noise)
        return made[0] if single else made

    def _z(
        self,
        mean: jax.Array,
        log_var: jax.Array,
        *,
        deterministic: bool,
        rngs: nnx.Rngs | None,
    ) -> jax.Array:
        """Return what the decoder reads, by the latent rule."""
        return self.latents(mean, log_var, deterministic=deterministic, rngs=rngs)["z"]

    def interpolate(
        self,
        x1: ArrayLike,
        x2: ArrayLike,
        steps: int = 10,
        *,
        rngs: nnx.Rngs | None = None,
        **condition: Any,
    ) -> jax.Array:
        """Decode the line between the means of two examples: (steps, *event).

        Args:
            x1: the first example, of shape event or (1, *event).
            x2: the last example.
            steps: number of points, both ends included; a Python int, static under jit.
            rngs: passed to networks that are random.
            condition: of a conditional model, the labels `y`.
        """
        return self._line((x1, x2), steps, rngs, [condition, condition])

    def _line(
        self,
        ends: tuple[ArrayLike, ArrayLike],
        steps: int,
        rngs: nnx.Rngs | None,
        conditions: list[dict[str, Any]],
    ) -> jax.Array:
        """Decode the line between two examples, each encoded with its own condition.

        A condition that both share is passed on as it is; two are mixed row by row.
        """
        if checks.positive_int("steps", steps) < 2:
            raise ValueError(f"interpolate(steps={steps}): expected at least 2, the two ends")
        start, end = (
            self.encode(self._one_example(name, x), rngs=rngs, **condition)[0]
            for name, x, condition in zip(("x1", "x2"), ends, conditions, strict=True)
        )

        def mixed(first: jax.Array, last: jax.Array) -> jax.Array:
            weight = jnp.linspace(0.0, 1.0, steps).reshape(-1, *(1,) * (first.ndim - 1))
            return (1 - weight) * first + weight * last

        first, last = conditions
        condition = first if first is last else jax.tree.map(mixed, first, last)
        return self._decode_path(mixed(start, end), rngs, condition)

    def latent_traversal(
        self,
        x: ArrayLike,
        dim: int,
        range_vals: tuple[float, float] = (-3.0, 3.0),
        steps: int = 10,
        *,
        rngs: nnx.Rngs | None = None,
        **condition: Any,
    ) -> jax.Array:
        """Decode an example's mean with one latent set to evenly spaced values: (steps, *event).

        Args:
            x: one example, of shape event or (1, *event).
            dim: the latent, 0 <= dim < latent_dim.
            range_vals: first and last value.
            steps: number of values, both ends included; a Python int, static under jit.
            rngs: passed to networks that are random.
            condition: of a conditional model, the labels `y`.

        Raises:
            ValueError: if dim is out of range.
        """
        mean, _ = self.encode(self._one_example("x", x), rngs=rngs, **condition)
        if not 0 <= dim < mean.shape[-1]:
            raise ValueError(
                f"latent_traversal(dim={dim}): expected 0 <= dim < {mean.shape[-1]} (latent_dim)"
            )
        steps = checks.positive_int("steps", steps)
        values = jnp.linspace(*range_vals, steps).reshape(-1, *(1,) * (mean.ndim - 2))
        path = jnp.repeat(mean, steps, axis=0).at[..., dim].set(values)
        return self._decode_path(path, rngs, condition)

    def _decode_path(
        self, means: jax.Array, rngs: nnx.Rngs | None, condition: dict[str, Any]
    ) -> jax.Array:
        z = self._z(means, jnp.zeros_like(means), deterministic=True, rngs=rngs)
        return self.decode(z, rngs=rngs, **condition)
