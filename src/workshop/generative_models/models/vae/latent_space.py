"""What a trained model is used for: samples, reconstructions, paths through its latent space."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.base import is_concrete, sample_key
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

    def sample(
        self,
        n_samples: int = 1,
        *,
        temperature: float = 1.0,
        rngs: nnx.Rngs | None = None,
        **condition: Any,
    ) -> jax.Array:
        """Sample z from the prior N(0, temperature² I) and decode it: (n_samples, *event).

        Args:
            n_samples: a Python int; static under `jax.jit` and `nnx.jit`.
            temperature: factor on the prior's standard deviation.
            rngs: source of the samples; the model's own if None.
            condition: of a conditional model, the labels `y`.
        """
        n_samples = checks.positive_int("n_samples", n_samples)
        check_temperature(temperature)
        noise = jax.random.normal(sample_key(rngs, self.rngs), (n_samples, self.latent_dim))
        return self.decode(temperature * noise, rngs=rngs, **condition)

    def generate(
        self,
        n_samples: int = 1,
        *,
        temperature: float = 1.0,
        rngs: nnx.Rngs | None = None,
        **kwargs: Any,
    ) -> jax.Array:
        """Call `sample`; the name of the GenerativeModel interface.

        Other keyword arguments are accepted for compatibility, and warned of.
        """
        checks.warn_keywords(self.generate, kwargs)
        return self.sample(n_samples, temperature=temperature, rngs=rngs)

    def reconstruct(
        self,
        x: ArrayLike,
        *,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
        **condition: Any,
    ) -> jax.Array:
        """Return x encoded and decoded again, (batch, *event).

        Args:
            x: (batch, *event), or one example.
            deterministic: decode the mean of q(z|x) instead of a sample.
            rngs: source of the sample; the model's own if None.
            condition: of a conditional model, the labels `y`.
        """
        outputs = self(x, deterministic=deterministic, rngs=rngs, **condition)  # type: ignore
        return outputs["reconstructed"]

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
        if checks.positive_int("steps", steps) < 2:
            raise ValueError(f"interpolate(steps={steps}): expected at least 2, the two ends")
        start, end = (
            self.encode(self._one_example(name, x), rngs=rngs, **condition)[0]
            for name, x in (("x1", x1), ("x2", x2))
        )
        weight = jnp.linspace(0.0, 1.0, steps).reshape(-1, *(1,) * (start.ndim - 1))
        return self._decode_path((1 - weight) * start + weight * end, rngs, condition)

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
        latents = self.latents(means, jnp.zeros_like(means), deterministic=True, rngs=rngs)
        return self.decode(latents["z"], rngs=rngs, **condition)
