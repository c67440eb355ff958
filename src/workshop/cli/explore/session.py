"""What a page asks of a run: a trained model, some data, and what the one makes of the other.

Latents are flat here, (n, d) float32: means of q(z|x), or of a model with codes its encodings
before they are quantized. Nothing changes after the start, so that many pages can share a session.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from workshop.cli.explore import codes
from workshop.cli.explore.examples import Example, Reconstruction
from workshop.cli.explore.geometry import Plane, latent_plane, moved, path, principal_plane
from workshop.generative_models.core.modules import in_evaluation_mode
from workshop.generative_models.data import Dataset, Split
from workshop.generative_models.evaluation import outputs
from workshop.generative_models.evaluation.bounds import (
    elbo_terms,
    fix_scale,
    has_moving_scale,
)
from workshop.generative_models.evaluation.passes import in_passes, run_batch
from workshop.generative_models.models.vae import VAE
from workshop.generative_models.visualization.scales import scale_of

_POINTS = 2000
"""Examples on the map, and those that a person can choose from."""
BLOCK = 32
"""Latents that are decoded at a time where there are several: one program for any number."""
SAMPLES = 64
"""Of z, in an ELBO."""


class Session:
    """A trained model and at most `points` test examples.

    Attributes:
        x: (n, *event) the examples, pixels in [0, 1].
        y: (n,) their labels, or None.
        means: (n, d) their latents; for a model with codes, the encodings before quantization.
        activity: mean KL of each latent in nats, or its variance; see `outputs.activity`.
        activity_name: which of the two it is, "KL" or "variance".
        order: the latents, the most active first.
        reach: largest absolute value of a slider.
        classes: number of classes that the model reads, or None.
        codes: (n, *code_shape) codes of the examples, if the model has codes.
        code_shape: shape of one example's codes.
        num_codes: size of the codebook.
        scale: the values drawn as black and as white.
    """

    def __init__(self, model: VAE, dataset: Dataset, points: int = _POINTS):
        model = in_evaluation_mode(model)
        split = dataset.test.take(slice(points))
        if has_moving_scale(model):  # no density of one example
            model = fix_scale(model, dataset.train.take(slice(points)))
        self.model, self.class_names = model, dataset.class_names
        self.x, self.y = outputs.scaled(np.asarray(split.x)), split.y
        self.discrete, self.conditional = model.has_codes, model.conditional
        if model.conditional and not model.reads_classes:
            raise ValueError(
                "explore: the model's own networks read a condition of unknown shape, and the "
                "explorer shows conditional models that read classes"
            )
        self.classes = model.num_classes
        self.latent_shape: tuple[int, ...] = model.latent_shape
        self.scale = scale_of("explore", self.x.astype(np.float64))
        found = outputs.posteriors(model, split)
        self.means = found["mean"]
        self.codes = outputs.code_indices(model, split) if self.discrete else None
        self.activity, in_nats = outputs.activity(model, split)
        self.activity_name = "KL" if in_nats else "variance"
        self.order: list[int] = np.argsort(-self.activity, kind="stable").tolist()
        channels = self.means.reshape(-1, self.latent_shape[-1])
        own = self.discrete  # a coordinate of other latents has the prior's scale
        self._centre = channels.mean(axis=0) if own else np.zeros(channels.shape[1])
        self._spread = channels.std(axis=0) if own else np.ones(channels.shape[1])
        farthest = max(4.0, float(np.ceil(np.abs(self.means).max())))
        self.reach = model.support.reach or farthest
        coder: Any = model if self.discrete else None
        self.code_shape: tuple[int, ...] = coder.code_shape if coder else ()
        self.num_codes: int = coder.num_embeddings if coder else 0
        self._graphdef, self._state = nnx.split(model)

    def warm_up(self) -> None:
        """Compile what a page needs, so that the first move of a slider is as quick as others."""
        self.measure(self.example(0))
        for count in (1, 2):
            self.decode(self.means[:1].repeat(count, axis=0))
            if self.codes is not None:
                self.decode_codes(self.codes[:1].repeat(count, axis=0))

    # Examples.

    def example(self, index: int) -> Example:
        """Return an example by its number."""
        count = len(self.x)
        if not 0 <= index < count:
            raise ValueError(f"example {index}: expected 0 <= number < {count:,}")
        label = None if self.y is None else int(self.y[index])
        title = f"example {index}" + ("" if label is None else f", class {self.name(label)}")
        return Example(self.x[index], label, title, index)

    def name(self, label: int) -> str:
        """Return what a class is called."""
        known = self.class_names is not None and label < len(self.class_names)
        return self.class_names[label] if known and self.class_names else str(label)

    def accept(self, name: str, x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Return an uploaded example as the model reads it.

        Under a likelihood with few levels, pixels are rounded to the nearest one.
        """
        levels = getattr(self.model.likelihood, "levels", None)
        if levels is not None and x.ndim == 3:
            x = (np.round(x * (levels - 1)) / (levels - 1)).astype(np.float32)
        try:
            self.model.check_data(x[None], None)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        return x

    # From examples to latents and back.

    def encode(self, example: Example) -> Float[np.ndarray, " d"]:
        """Return the latents of an example; a conditional model reads its class."""
        x, condition = jnp.asarray(example.x)[None], self._condition(example.label, 1)
        return np.asarray(self._run(_encoded, x, condition)).reshape(-1)

    def decode(
        self, z: Float[np.ndarray, "n d"], y: int | None = None
    ) -> Float[np.ndarray, "n ..."]:
        """Decode latents, projected onto the latent space first.

        Encodings of a model with codes are quantized first.
        """
        maps = np.asarray(z, np.float32).reshape(len(z), *self.latent_shape)
        return self._in_blocks(_decoded, maps, y)

    def decode_codes(self, indices: Int[np.ndarray, "n ..."]) -> Float[np.ndarray, "n ..."]:
        """Return what codes (n, *code_shape) stand for."""
        return self._in_blocks(_decoded_codes, indices.astype(np.int32))

    def codes_of(self, z: Float[np.ndarray, " d"]) -> Int[np.ndarray, "..."]:
        """Return the codes nearest to an encoding."""
        encoding = jnp.asarray(z, jnp.float32).reshape(1, *self.latent_shape)
        return np.asarray(self._run(_nearest_codes, encoding))[0]

    def encoding_of(self, indices: Int[np.ndarray, "..."]) -> Float[np.ndarray, " d"]:
        """Return the vectors that codes stand for, as an encoding."""
        return np.asarray(self._run(_vectors, jnp.asarray(indices, jnp.int32)[None])).reshape(-1)

    def measure(self, example: Example) -> Reconstruction:
        """Return the reconstruction of an example and the two terms of its ELBO.

        The terms are those of `evaluation.bounds.elbo(model, x[None], y, samples=64)`. A model
        without a density has a reconstruction loss only.
        """
        label = example.label if self.conditional else None
        if self.model.has_density:
            terms = elbo_terms(self.model, example.x[None], label, samples=SAMPLES)
        else:
            split = Split(example.x[None], None if label is None else np.array([label]))
            terms = {"reconstruction_loss": outputs.reconstructions(self.model, split)["loss"]}
        made = self.decode(self.encode(example)[None], label)[0]
        return Reconstruction(made, **{name: float(term[0]) for name, term in terms.items()})

    def _condition(self, y: int | None, count: int) -> dict[str, Any]:
        """Return what a conditional model reads: rows, for which no class is zeros."""
        if not self.conditional:
            return {}
        rows = np.zeros((count, self.classes or 0), np.float32)
        if y is not None:
            rows[:, y] = 1
        return {"y": jnp.asarray(rows)}

    def _run(self, method: Any, x: jax.Array, condition: dict[str, Any] | None = None) -> jax.Array:
        return run_batch(self._graphdef, self._state, method, x, condition or {})

    def _in_blocks(self, method: Any, rows: np.ndarray, y: int | None = None) -> np.ndarray:
        size = 1 if len(rows) == 1 else BLOCK
        condition = self._condition(y, size)
        padded = np.pad(rows, ((0, -len(rows) % size), *((0, 0),) * (rows.ndim - 1)))

        def one_block(index: np.ndarray) -> jax.Array:
            return self._run(method, jnp.asarray(padded[index]), condition)

        return in_passes(one_block, len(padded), size=size)[: len(rows)]

    # Ways through the latent space.

    def plane(self, kind: str, pair: tuple[int, int] = (0, 0)) -> Plane:
        """Return a plane for the map: "active" (the two most active), "pca" or "pair"."""
        if kind == "pca":
            return principal_plane(self.means)
        if kind == "pair":
            return self._pair(*pair)
        variance = self.means.var(axis=0)
        # Of a map of encodings each place counts on its own: activity is that of a whole channel.
        order = np.argsort(-variance, kind="stable") if self.discrete else self.order
        return self._pair(int(order[0]), int(order[min(1, len(order) - 1)]))

    def _pair(self, first: int, second: int) -> Plane:
        plane = latent_plane(self.means.shape[1], first, second)
        names = map(self.latent_name, (first, second)[: len(plane.axes)])
        return replace(plane, names=tuple(names))

    def latent_name(self, index: int) -> str:
        """Return what a flat latent is called: of a map its channel and place."""
        *place, channel = np.unravel_index(index, self.latent_shape)
        return f"z{channel}" + (f" at ({', '.join(map(str, place))})" if place else "")

    def interpolate(
        self,
        first: Float[np.ndarray, " d"],
        last: Float[np.ndarray, " d"],
        steps: int,
        kind: str,
        y: int | None = None,
    ) -> Float[np.ndarray, "steps ..."]:
        """Return what lies between two points of the latent space; see `geometry.path`.

        On a sphere or a ball it is the path's nearest points there.
        """
        return self.decode(path(first, last, steps, kind), y)

    def traverse(
        self,
        z: Float[np.ndarray, " d"],
        dims: list[int],
        reach: float,
        steps: int,
        y: int | None = None,
    ) -> Float[np.ndarray, "rows steps ..."]:
        """Return a row of pictures for each latent, which goes from -reach to reach on its own.

        A channel of encodings goes around its own mean, in units of its standard deviation. On a
        sphere or a ball it is a coordinate that goes; see `core.supports`.
        """
        values = np.linspace(-reach, reach, steps)
        support = self.model.support
        start = np.asarray(support.coordinates(jnp.asarray(z, jnp.float32)))
        ways = [
            moved(start, self.latent_shape, dim, self._centre[dim] + self._spread[dim] * values)
            for dim in dims
        ]
        points = support.points(jnp.asarray(np.concatenate(ways), jnp.float32))
        made = self.decode(np.asarray(points), y)
        return made.reshape(len(dims), steps, *made.shape[1:])

    def random(self, seed: int) -> Float[np.ndarray, " d"]:
        """Return latents from the prior, or of a model with codes from N(0, I)."""
        if self.discrete:
            noise = np.random.default_rng(seed).standard_normal(self.means.shape[1])
            return noise.astype(np.float32)
        p = self.model.p_z(**self._condition(None, 1))
        return np.asarray(p.sample(jax.random.key(seed))).reshape(-1)

    def random_codes(self, seed: int, y: int | None = None) -> Int[np.ndarray, "..."]:
        """Return codes from the fitted prior; without one each place's are some example's."""
        if self.codes is None:
            raise ValueError(f"random_codes: {type(self.model).__name__} makes no codes")
        prior = self.model.code_prior
        if prior is not None:
            return np.asarray(prior.sample(1, y=y, rngs=nnx.Rngs(seed)))[0]
        return codes.mixed(self.codes, seed)

    def alternatives(self, own: np.ndarray, place: int, most: int) -> Int[np.ndarray, " found"]:
        """Return what other codes examples have at a place; see `codes.alternatives`."""
        if self.codes is None:
            raise ValueError(f"alternatives: {type(self.model).__name__} makes no codes")
        return codes.alternatives(self.codes, int(own.reshape(-1)[place]), place, most)


def _encoded(model: Any, x: jax.Array, **condition: Any) -> jax.Array:
    return model.encode(x, **condition)[0]


def _decoded(model: Any, z: jax.Array, **condition: Any) -> jax.Array:
    return model.decode(model.decoder_input(z), **condition)


def _decoded_codes(model: Any, codes: jax.Array) -> jax.Array:
    return model.decode_indices(codes)


def _nearest_codes(model: Any, encoding: jax.Array) -> jax.Array:
    return model.quantize(encoding, deterministic=True)[1]["encoding_indices"]


def _vectors(model: Any, codes: jax.Array) -> jax.Array:
    return model.quantizer.lookup(codes)
