"""Models of examples with latents: how data gets in, and samples and paths through the latents."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import is_concrete
from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.likelihoods import Likelihood
from workshop.generative_models.core.modules import row_keys
from workshop.generative_models.core.supports import Support, support_named
from workshop.generative_models.models.vae import examples


def check_temperature(temperature: Any) -> None:
    """Raise a ValueError for a temperature that is negative or no number, unless it is traced."""
    if is_concrete(temperature):
        checks.at_least("temperature", temperature, 0.0)


class LatentVariableModel(GenerativeModel):
    """What `VAE` does with its networks: read data, and decode samples, reconstructions, paths."""

    encoder: nnx.Module
    decoder: nnx.Module
    likelihood: Likelihood
    posterior: Any
    latent_dim: int
    rngs: nnx.Rngs | None
    # Methods of `VAE`:
    encode: Any
    _encoded: Any
    _drawn_latents: Any
    _observed: Any

    @property
    def event_shape(self) -> tuple[int, ...] | None:
        """Shape of one example, or None if it is not known from either network."""
        shape = getattr(self.decoder, "output_shape", None)
        return shape or getattr(self.encoder, "input_dim", None)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the latents of one example: (latent_dim,), or that of a map."""
        return getattr(self.decoder, "latent_shape", (self.latent_dim,))

    @property
    def support(self) -> Support:
        """The space that latents lie in, as the posterior says; of encodings and others R^n."""
        return support_named(getattr(self.posterior, "support", "real"))

    # How data gets in.

    def read_batch(
        self,
        batch: Any,
        x: Any,
        kwargs: dict[str, Any],  # noqa: ARG002 - for conditional models
    ) -> tuple[Any, dict[str, Any]]:
        """Return the data of `loss_fn`'s arguments, and the networks' condition."""
        if isinstance(batch, dict):
            checks.batch_keys("batch", batch if x is None else {"x": x, **batch}, self.batch_keys)
            batch = batch.get("x")
        if batch is None and x is None:
            raise ValueError("loss_fn needs data: pass batch, or x")
        return x if batch is None else batch, {}

    def build(self, batch: Any) -> None:
        """Make the layers of networks that were given no input shape, by one eager pass."""
        if any(getattr(module, "pending_rngs", None) for _, module in nnx.iter_modules(self)):
            self.forward(batch, jax.random.key(0))

    def forward(self, batch: Any, rng: jax.Array) -> dict[str, Any]:
        """Return what the model computes for a batch, as `loss_fn(batch=batch, rng=rng)` does."""
        x, condition = self.read_batch(batch, None, {})
        return self(x, rngs=nnx.Rngs(rng), **condition)

    def read_examples(self, name: str, x: Any) -> Any:
        """Return examples as uint8 or float32; see `examples.read_examples`."""
        return examples.read_examples(self.likelihood, name, x)

    def check_data(self, x: Any, y: Any = None) -> None:  # noqa: ARG002 - for conditional models
        """Raise a ValueError if the model cannot be trained on concrete data."""
        examples.check_data(self, x)

    def as_batch(self, x: Any, name: str = "x") -> tuple[jax.Array, bool]:
        """Return x as a float batch, and whether it was a single example, by its shape."""
        return examples.as_batch(name, self.read_examples(name, x), self.event_shape)

    def _on_batch(self, x: Any, function: Callable[[jax.Array], Any]) -> Any:
        """Return `function(batch)`, without the batch axis if x is a single example."""
        x, single = self.as_batch(x)
        made = function(x)
        if single:
            made = jax.tree.map(lambda a: a[0] if getattr(a, "ndim", 0) else a, made)
        return made

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

    def decoder_input(self, means: jax.Array) -> jax.Array:
        """Return points between means of q(z|x) as the decoder reads them: on their support."""
        return self.support.project(means)

    # Samples, reconstructions and paths.

    def _noise_keys(
        self, observation_noise: Any, rngs: nnx.Rngs | None, rows: int
    ) -> jax.Array | None:
        """Return a key for each row, to draw x ~ p(x|z) with; without observation noise None."""
        noisy = checks.flag("observation_noise", observation_noise)
        return row_keys(rngs, self.rngs, rows) if noisy else None

    def sample(
        self,
        n_samples: int = 1,
        *,
        temperature: ArrayLike = 1.0,
        rngs: nnx.Rngs | None = None,
        observation_noise: bool = False,
        **condition: Any,
    ) -> jax.Array:
        """Sample z from the prior and decode it: (n_samples, *event).

        The result is E[x|z], without the noise of p(x|z), unless `observation_noise` is set.

        Args:
            n_samples: a Python int; static under `jax.jit` and `nnx.jit`.
            temperature: factor on the prior's standard deviation.
            rngs: source of the samples; the model's own if None.
            observation_noise: draw x ~ p(x|z) instead of returning its mean; an error if the
                likelihood cannot be sampled.
            condition: of a conditional model, the labels `y`.
        """
        n_samples = checks.positive_int("n_samples", n_samples)
        check_temperature(temperature)
        z = self._drawn_latents(n_samples, temperature, rngs, condition)
        return self._observed(z, rngs, condition, self._noise_keys(observation_noise, rngs, len(z)))

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

        Other keyword arguments are accepted for compatibility, with a warning.
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
            observation_noise: draw from p(x|z) instead of returning its mean; see `sample`.
            condition: of a conditional model, the labels `y`.
        """
        deterministic = checks.flag("deterministic", deterministic)

        def made(x: jax.Array) -> jax.Array:
            z = self._encoded(x, rngs, condition, deterministic)
            keys = self._noise_keys(observation_noise, rngs, len(z))
            return self._observed(z, rngs, condition, keys)

        return self._on_batch(x, made)

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

        On a sphere or a ball it is the shortest path.

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
        """Decode the line between two examples; two conditions are mixed as well, row by row."""
        if checks.positive_int("steps", steps) < 2:
            raise ValueError(f"interpolate(steps={steps}): expected at least 2, the two ends")
        start, end = (
            self.encode(self._one_example(name, x), rngs=rngs, **condition)[0]
            for name, x, condition in zip(("x1", "x2"), ends, conditions, strict=True)
        )

        def mixed(first: jax.Array, last: jax.Array, support: Support) -> jax.Array:
            weight = jnp.linspace(0.0, 1.0, steps).reshape(-1, *(1,) * (first.ndim - 1))
            return support.between(first, last, weight)

        def mixed_condition(first: jax.Array, last: jax.Array) -> jax.Array:
            return mixed(first, last, Support())

        first, last = conditions
        condition = first if first is last else jax.tree.map(mixed_condition, first, last)
        path = mixed(start, end, self.support)
        return self._observed(self.decoder_input(path), rngs, condition)

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

        On a sphere or a ball it is a coordinate that is set; see `core.supports`.

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
        path = jnp.repeat(self.support.coordinates(mean), steps, axis=0).at[..., dim].set(values)
        return self._observed(self.decoder_input(self.support.points(path)), rngs, condition)
