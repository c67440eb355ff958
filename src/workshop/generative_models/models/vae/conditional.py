"""Conditional VAE: a class, or another condition, that encoder and decoder both read."""

import inspect
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import check_finite, is_concrete, read_labels
from workshop.generative_models.core.building import accepts_config
from workshop.generative_models.core.configuration import ConditionalVAEConfig
from workshop.generative_models.core.modules import sample_key
from workshop.generative_models.models.vae.base import VAE
from workshop.generative_models.models.vae.components import Options
from workshop.generative_models.models.vae.conditioning import one_hot
from workshop.generative_models.models.vae.decoders import ConditionalDecoder
from workshop.generative_models.models.vae.encoders import ConditionalEncoder


class ConditionalVAE(VAE):
    """A VAE of x given a class y: q(z|x, y) and p(x|z, y).

    Labels y are integers (batch,), one integer for all, or rows (batch, condition_dim) of one or
    several classes, not negative. Without y the networks read zeros where the class would stand,
    which means "no class said"; `sample` without y draws the class of each sample evenly.

    Where both networks are modules of one's own that take `condition=`, y is whatever they read,
    such as continuous values: numbers with a row for each example, which are passed on as they are.
    `sample` then needs y.

    Args:
        encoder: a `ConditionalEncoder`, a module of one's own that takes `condition=`, or any other
            encoder, which is then wrapped; or a `ConditionalVAEConfig`.
        decoder: likewise.
        latent_dim: size of z.
        condition_dim: number of classes.
        condition_type: "concat" appends the class to what the networks read, "add" adds a learned
            map of it.
        rngs: for wrapping, and for sampling when a method is given none.
        embed_dim: size of a learned embedding of the class, for networks wrapped here.
        options: see `VAE`.

    Attributes:
        encoder: the encoder, which reads the class.
        decoder: the decoder, which reads the class.
        rngs, precision, latent_dim, kl_weight, condition_dim, condition_type: as given.

    References:
        Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional Generative
        Models, NeurIPS 2015.
    """

    config_class = ConditionalVAEConfig
    conditional = True

    @accepts_config
    def __init__(
        self,
        encoder: nnx.Module,
        decoder: nnx.Module,
        latent_dim: int,
        condition_dim: int = 10,
        condition_type: str = "concat",
        *,
        rngs: nnx.Rngs | None = None,
        embed_dim: int | None = None,
        **options: Unpack[Options],
    ):
        self.condition_dim = checks.positive_int("condition_dim", condition_dim)
        self.condition_type = checks.one_of("condition_type", condition_type, ("concat", "add"))
        self.embed_dim = embed_dim
        super().__init__(
            self._conditional("encoder", encoder, ConditionalEncoder, rngs),
            self._conditional("decoder", decoder, ConditionalDecoder, rngs),
            latent_dim,
            rngs=rngs,
            **options,
        )

    def _conditional(
        self, name: str, network: nnx.Module, wrapper: type[Any], rngs: nnx.Rngs | None
    ) -> nnx.Module:
        """Return the network if it reads a condition already, else wrapped."""
        if isinstance(network, wrapper):
            mine = {"num_classes": self.condition_dim, "condition_type": self.condition_type}
            mine |= {} if self.embed_dim is None else {"embed_dim": self.embed_dim}
            for field, expected in mine.items():
                if getattr(network, field) != expected:
                    raise ValueError(
                        f"{name}.{field}={getattr(network, field)!r} and the model's {expected!r} "
                        "must agree"
                    )
            return network
        if "condition" in inspect.signature(network).parameters:  # type: ignore[arg-type]
            return network
        if rngs is None:
            raise ValueError(
                f"{name} is not conditional and rngs=None: pass rngs, or a {wrapper.__name__}"
            )
        sizes = (self.condition_dim, self.embed_dim)
        return wrapper(network, *sizes, condition_type=self.condition_type, rngs=rngs)

    @property
    def reads_classes(self) -> bool:
        """Whether a condition is a class: a network here is wrapped, and reads one-hot rows."""
        wrappers = ConditionalEncoder | ConditionalDecoder
        return isinstance(self.encoder, wrappers) or isinstance(self.decoder, wrappers)

    @property
    def num_classes(self) -> int | None:
        """`condition_dim`, if the condition is a class."""
        return self.condition_dim if self.reads_classes else None

    def condition_rows(self, name: str, y: Any, n: int) -> np.ndarray:
        """Return the conditions of n examples, labels (n,) or rows (n, ...), of one for all too."""
        if self.reads_classes:
            one_hot(y, self.condition_dim, n, name=name)
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

    def _code(self, y: Any, n: int, name: str = "y") -> jax.Array:
        """Return conditions as rows of numbers that can be mixed: one-hot rows, or one's own."""
        if self.reads_classes:
            return one_hot(y, self.condition_dim, n, name=name)
        return jnp.asarray(y if not is_concrete(y) else self.condition_rows(name, y, n))

    def _network_condition(self, condition: dict[str, Any]) -> dict[str, Any]:
        return {"condition": _read(condition.get("y"))}

    def encode(  # type: ignore[override]
        self, x: ArrayLike, y: Any = None, *, rngs: nnx.Rngs | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Return mean and log-variance of q(z|x, y); y None is no class; see `VAE.encode`."""
        return super().encode(x, rngs=rngs, y=y)

    def decode(  # type: ignore[override]
        self, z: ArrayLike, y: Any = None, *, rngs: nnx.Rngs | None = None
    ) -> jax.Array:
        """Return reconstructions E[x|z, y]; y None is no class; see `VAE.decode`."""
        return super().decode(z, rngs=rngs, y=y)

    def __call__(  # type: ignore[override]
        self,
        x: ArrayLike,
        y: Any = None,
        *,
        deterministic: bool = False,
        rngs: nnx.Rngs | None = None,
    ) -> dict[str, Any]:
        """Encode, sample, decode, all given y; see `VAE.__call__`."""
        return super().__call__(x, deterministic=deterministic, rngs=rngs, y=y)

    def sample(
        self,
        n_samples: int = 1,
        *,
        temperature: ArrayLike = 1.0,
        y: Any = None,
        rngs: nnx.Rngs | None = None,
        observation_noise: bool = False,
        **kwargs: Any,
    ) -> jax.Array:
        """Sample from the prior and decode with a class: (n_samples, *event); see `VAE.sample`.

        Args:
            n_samples: number of samples.
            temperature: factor on the prior's standard deviation.
            y: labels (n_samples,), one label for all, or rows; None draws classes evenly.
            rngs: source of the samples.
            observation_noise: draw x ~ p(x|z, y) instead of returning its mean.
            kwargs: others are accepted for compatibility, and warned of.
        """
        checks.warn_keywords(self.sample, kwargs)
        n_samples = checks.positive_int("n_samples", n_samples)
        if y is None:
            if not self.reads_classes:
                raise ValueError(
                    "sample: pass y, a condition for each sample: networks of your own read it, "
                    "and only you know its values"
                )
            key = sample_key(rngs, self.rngs)
            y = jax.random.randint(key, (n_samples,), 0, self.condition_dim)
        options = {"temperature": temperature, "observation_noise": observation_noise}
        return super().sample(n_samples, rngs=rngs, y=self._code(y, n_samples), **options)

    def generate(
        self, n_samples: int = 1, *, temperature: float = 1.0, y: Any = None, **kwargs: Any
    ) -> jax.Array:
        """Call `sample` with its arguments; others are a TypeError."""
        checks.refuse_keywords(self.sample, kwargs)
        return self.sample(n_samples, temperature=temperature, y=y, **kwargs)

    def interpolate(
        self,
        x1: ArrayLike,
        x2: ArrayLike,
        steps: int = 10,
        *,
        rngs: nnx.Rngs | None = None,
        y: Any = None,
        y1: Any = None,
        y2: Any = None,
    ) -> jax.Array:
        """Decode the line between two examples, and between two conditions: (steps, *event).

        The first and last points are the examples' means with their own conditions. In between both
        latents and conditions, as one-hot rows or an embedding of them, are mixed linearly.

        Args:
            x1: the first example; see `VAE.interpolate`, also of steps and rngs.
            x2: the last example.
            steps: number of points.
            rngs: passed to networks that are random.
            y: a condition of both examples: a label or a row.
            y1: the condition of x1, in place of y.
            y2: the condition of x2, as well.
        """
        if y1 is None and y2 is None:
            return super().interpolate(x1, x2, steps, rngs=rngs, y=y)
        if y is not None or y1 is None or y2 is None:
            raise ValueError("interpolate: pass y1 and y2, or y for both")
        conditions = [{"y": self._mixable("y1", y1)}, {"y": self._mixable("y2", y2)}]
        return self._line((x1, x2), steps, rngs, conditions)

    def _mixable(self, name: str, y: Any) -> jax.Array:
        """Return the condition of one example as a row of floats."""
        row = self._code(y, 1, name)
        if not jnp.issubdtype(row.dtype, jnp.floating):
            raise ValueError(
                f"{name} is of type {row.dtype}: networks of your own read it, and only floats can "
                "be mixed"
            )
        return row

    def read_batch(self, batch: Any, x: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the data of `loss_fn`'s arguments, and its labels."""
        y = kwargs.get("y")
        if y is None and isinstance(batch, dict):
            y = batch.get("y")
        x, _ = super().read_batch(batch, x, kwargs)
        return x, {"y": y}

    def check_data(self, x: Any, y: Any = None) -> None:
        """Raise a ValueError if concrete data or labels cannot be trained on."""
        super().check_data(x, y)
        if y is not None and is_concrete(y):
            self.condition_rows("y", y, len(x))


def _read(y: Any) -> Any:
    """Return labels as arrays, whatever holds them; your own networks may read a dict of them."""
    if isinstance(y, dict):
        return {name: _read(part) for name, part in y.items()}
    return y if y is None else jnp.asarray(read_labels("y", y))
