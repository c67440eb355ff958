"""A prior over maps of codes: a causal transformer over the codes of an example."""

import functools
from math import log, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import is_concrete, read_codes, read_labels
from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.configuration import PriorConfig
from workshop.generative_models.core.containers import to_array
from workshop.generative_models.core.keys import row_keys, sample_key
from workshop.generative_models.models.vae.chunks import chunk_size, in_chunks
from workshop.generative_models.models.vae.code_sampling import UNKNOWN, Choice, draw_codes
from workshop.generative_models.models.vae.latent_space import check_temperature

UNLABELLED = 0.1
"""Share of a batch that training shows to a conditional prior without its class, so that the prior
also learns the codes of no class in particular (as Ho & Salimans do, arXiv 2207.12598)."""

CACHE_BYTES = 1 << 28
"""Bytes of the keys and values that a chunk of samples keeps."""

_small = nnx.initializers.normal(0.02)  # the first predictions are nearly even


class Block(nnx.Module):
    """A transformer block that normalises first: x ← x + A(N₁(x)), x ← x + M(N₂(x)).

    A attends to this place and those before it, M is a layer of four times the width. Dropout is on
    what is added, not inside the attention, whose fast forms have none.
    """

    def __init__(self, config: PriorConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.norm1 = nnx.LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(config.heads, width, decode=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        *,
        rngs: nnx.Rngs | None = None,
        decode: bool = False,
    ) -> Float[Array, "batch length width"]:
        """Map all places at once, or with `decode` the next one, after those in the cache."""
        drop = functools.partial(self.dropout, deterministic=rngs is None, rngs=rngs)
        x = x + drop(self.attention(self.norm1(x), is_causal=not decode, decode=decode))
        return x + drop(self.down(jax.nn.gelu(self.up(self.norm2(x)))))


class CodePrior(GenerativeModel):
    """An autoregressive prior over the codes of a VQ-VAE.

        p(s | y) = Π_i p(s_i | s_<i, y)

    with the codes of an example in raster order, those of one position (residual stages, heads or
    groups) one after another. Every place adds the embeddings of the code before it (the first has
    none), of the class y or of "no class", and its own. Each stage has token embeddings and an
    output layer of its own.

    In training mode, which is a new module's (`eval()` ends it, and the trainer sets it), `loss_fn`
    drops out, and shows a tenth of the examples without their class.

    Args:
        config: sizes of the transformer; `PriorConfig()` if None.
        code_shape: shape of one example's codes, such as `VQVAE.code_shape`: (height, width), or
            (height, width, codes).
        codebook_size: number of values of a code.
        num_classes: number of classes; None is a prior without classes.
        codes: how many codes a position has; more than one are the last axis of code_shape.
        rngs: for the initial weights, and for sampling and dropout when a method is given none.

    Raises:
        ValueError: if codes and code_shape do not agree, or a size is no positive integer.

    References:
        van den Oord, Vinyals & Kavukcuoglu, Neural Discrete Representation Learning, NeurIPS 2017;
        Vaswani et al., Attention Is All You Need, NeurIPS 2017.

    Examples:
        >>> config = PriorConfig(layers=1, width=8, heads=2)
        >>> prior = CodePrior(config, code_shape=(2, 2), codebook_size=5, rngs=nnx.Rngs(0))
        >>> codes = prior.sample(3, temperature=0.9)
        >>> codes.shape, prior.log_prob(codes).shape
        ((3, 2, 2), (3,))
        >>> from workshop.generative_models.training import Trainer
        >>> history = Trainer(prior, batch_size=3, progress=False).fit(codes, steps=100)
        >>> sorted(history[-1].keys() - {"step", "split"})
        ['bits_per_code', 'elbo', 'loss', 'nats_per_code']
    """

    def __init__(
        self,
        config: PriorConfig | None = None,
        code_shape: Any = (7, 7),
        codebook_size: int = 512,
        num_classes: int | None = None,
        codes: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.config = config = PriorConfig() if config is None else config
        self.code_shape = checks.shape("code_shape", code_shape)
        self.codebook_size = checks.positive_int("codebook_size", codebook_size)
        self.codes = checks.positive_int("codes", codes)
        if codes > 1 and self.code_shape[-1] != codes:
            raise ValueError(
                f"codes={codes} and code_shape={self.code_shape}: several codes of a position are "
                f"the last axis, such as {(*self.code_shape, codes)}"
            )
        if num_classes is not None:
            checks.positive_int("num_classes", num_classes)
        self.num_classes, self.no_class = num_classes, num_classes or 0
        width = config.width
        self.tokens = nnx.Embed(codes * self.codebook_size, width, rngs=rngs)
        self.positions = nnx.Embed(prod(self.code_shape), width, rngs=rngs)
        self.classes = nnx.Embed(self.no_class + 1, width, rngs=rngs)
        self.dropout = nnx.Dropout(config.dropout)
        self.blocks = nnx.List(Block(config, rngs=rngs) for _ in range(config.layers))
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.readout = nnx.Einsum(
            "bpsw,swk->bpsk",
            (codes, width, self.codebook_size),
            kernel_init=_small,
            rngs=rngs,
        )
        self.deterministic = False  # `train()` and `eval()` set this, as they do in dropout
        self.rngs = nnx.data(rngs)

    # Probabilities.

    def __call__(  # type: ignore[override]
        self, x: ArrayLike, y: Any = None, *, rngs: nnx.Rngs | None = None
    ) -> dict[str, jax.Array]:
        """Return {"logits": (batch, *code_shape, codebook_size)} of every code given those before.

        Args:
            x: codes (batch, *code_shape).
            y: labels (batch,), one label for all, or None for no class.
            rngs: what training mode draws from; the model's own if None.
        """
        codes, labels = self._read(x, y)
        if self.deterministic:
            logits = self._logits(codes, labels)
        else:
            rngs = nnx.Rngs(sample_key(rngs, self.rngs))
            hidden = jax.random.bernoulli(rngs(), UNLABELLED, labels.shape)
            logits = self._logits(codes, jnp.where(hidden, self.no_class, labels), rngs)
        return {"logits": logits.reshape(len(codes), *self.code_shape, self.codebook_size)}

    def log_prob(self, indices: ArrayLike, y: Any = None) -> Float[Array, " batch"]:
        """Return log p(s | y) of each example, in nats, with nothing dropped out.

        Args:
            indices: codes (batch, *code_shape).
            y: labels (batch,), one label for all, or None for no class.

        Raises:
            ValueError: if codes or labels have another shape or type, or are out of range.
        """
        graphdef, state = nnx.split(self)
        codes, labels = self._read(indices, y)
        widest = prod(self.code_shape) * max(self.codebook_size, 4 * self.positions.features)
        return in_chunks(
            lambda codes, labels, _: _log_prob(graphdef, state, codes, labels),
            codes,
            labels,
            size=chunk_size((widest,), most_bytes=CACHE_BYTES),
            shared=None,
            networks=(),
        )

    def loss_fn(
        self, params: Any = None, batch: Any = None, rng: jax.Array | None = None, **kwargs: Any
    ) -> dict[str, jax.Array]:
        """Return the losses of a batch: L = -log p(s | y) in nats per example, mean over the batch.

        Args:
            params: parameters to use in place of the model's own; see `with_params`.
            batch: codes (batch, *code_shape), or {"x": codes, "y": labels}. Labels are read by a
                prior with classes only, to which none are "no class".
            rng: random key of training mode; the model's own streams if None.
            kwargs: `step`, which changes nothing here: no weight is scheduled.

        Returns:
            total_loss (loss), elbo = -loss, and nats_per_code and bits_per_code, the loss over the
            number of codes of an example.
        """
        if params is not None:
            return self.with_params(params).loss_fn(batch=batch, rng=rng, **kwargs)
        checks.refuse_keywords(self.loss_fn, kwargs, ("step",))
        x, y = self._batch(batch)
        logits = self(x, y, rngs=None if rng is None else nnx.Rngs(rng))["logits"]
        nats = _nats(logits, jnp.asarray(x).astype(jnp.int32)).mean()
        each = nats / prod(self.code_shape)
        losses = {"total_loss": nats, "loss": nats, "elbo": -nats}
        return losses | {"nats_per_code": each, "bits_per_code": each / log(2)}

    def forward(self, batch: Any, rng: jax.Array) -> dict[str, jax.Array]:
        """Return the logits that `loss_fn(batch=batch, rng=rng)` computes its losses from."""
        return self(*self._batch(batch), rngs=nnx.Rngs(rng))

    def _logits(
        self,
        codes: Int[Array, "batch length"],
        labels: Int[Array, " batch"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "batch length values"]:
        """Return the logits of all places in one pass; without rngs nothing is dropped out."""
        places = jnp.arange(codes.shape[1])
        seen = self._embed(codes[:, :-1], places[:-1])
        x = jnp.pad(seen, [(0, 0), (1, 0), (0, 0)])
        x = x + self.classes(labels)[:, None] + self.positions.embedding[...]
        x = self.dropout(x, deterministic=rngs is None, rngs=rngs)
        for block in self.blocks:
            x = block(x, rngs=rngs)
        x = self.norm(x).reshape(len(codes), -1, self.codes, x.shape[-1])
        return self.readout(x).reshape(*codes.shape, self.codebook_size)

    def _next_logits(
        self, x: Float[Array, "batch width"], labels: Int[Array, " batch"], place: Int[Array, ""]
    ) -> Float[Array, "batch values"]:
        """Return the logits of one place: x embeds its predecessor, caches hold all before."""
        # Not `self.positions(place)`: nnx.Embed refuses a scalar if it has one embedding.
        x = (x + self.classes(labels) + self.positions.embedding[...][place])[:, None]
        for block in self.blocks:
            x = block(x, decode=True)
        return self.norm(x)[:, 0] @ self.readout.kernel[...][place % self.codes]

    def _embed(self, codes: Int[Array, "..."], places: Int[Array, "..."]) -> Float[Array, "..."]:
        """Return the embeddings of codes at these places: each stage has its own."""
        return self.tokens(codes + places % self.codes * self.codebook_size)

    # Samples.

    def sample(
        self,
        n_samples: int = 1,
        *,
        temperature: ArrayLike = 1.0,
        y: Any = None,
        guidance: ArrayLike = 1.0,
        top_k: int | None = None,
        top_p: ArrayLike | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> Int[Array, "n_samples ..."]:
        """Draw codes one after another: int32 (n_samples, *code_shape).

            p(s_i | s_<i, y)^guidance p(s_i | s_<i)^(1 - guidance), not normalised

        is what each code is drawn from, at the temperature, and then among the codes that top_k and
        top_p leave. One compiled loop, with the keys and values of earlier places in a cache; many
        samples are drawn in chunks.

        Args:
            n_samples: a Python int; static under jit.
            temperature: what the logits are divided by; 0 takes the most probable code each time.
            y: labels (n_samples,), one label for all, or None for no class.
            guidance: 1 draws from p(s | y) itself; above 1 samples are more surely of their class,
                and less varied; 0 does not look at the class. Any but 1, and a traced one, takes
                twice the work. Without y there is nothing to guide by, and it must be 1.
            top_k: draw among the k most probable codes only; of equally probable ones, among those
                of lower index.
            top_p: draw among the fewest most probable codes whose probabilities sum to at least
                top_p; of those that top_k leaves, if both are given.
            rngs: source of the samples; the model's own if None.

        Raises:
            ValueError: if an argument is out of its range.

        References:
            Ho & Salimans, Classifier-Free Diffusion Guidance, arXiv 2207.12598; Fan, Lewis &
            Dauphin, Hierarchical Neural Story Generation, ACL 2018 (top-k); Holtzman et al., The
            Curious Case of Neural Text Degeneration, ICLR 2020 (top-p).
        """
        n_samples = checks.positive_int("n_samples", n_samples)
        choice = self._choice(temperature, y, guidance, top_k, top_p)
        unknown = jnp.full((n_samples, prod(self.code_shape)), UNKNOWN)
        return self._draw(self._labels(y, n_samples), unknown, choice, rngs)

    def complete(
        self,
        codes: ArrayLike,
        known: ArrayLike,
        *,
        temperature: ArrayLike = 1.0,
        y: Any = None,
        guidance: ArrayLike = 1.0,
        top_k: int | None = None,
        top_p: ArrayLike | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> Int[Array, "..."]:
        """Keep the known codes of examples and draw the others, in raster order.

        Each code is drawn given all before it, known or drawn. Where the known codes come first in
        raster order, such as the upper half of an image, that is exactly p(unknown | known).
        Otherwise, as with the left half, a code does not look at known ones that come after it, and
        the result is not a sample of that conditional distribution.

        Args:
            codes: integers (batch, *code_shape), or one example's; unknown ones are not read.
            known: booleans of shape code_shape or of `codes`: which codes are kept.
            temperature: see `sample`; so the other arguments.
            y: labels (batch,), one label for all, or None for no class.
            guidance: towards a class.
            top_k: draw among the k most probable codes.
            top_p: draw among the most probable codes of this probability together.
            rngs: source of the draws; the model's own if None.

        Returns:
            int32 in the shape of `codes`.

        Raises:
            ValueError: for codes or masks of another shape or type, known codes out of range, and
                as in `sample`.

        Examples:
            >>> config = PriorConfig(layers=1, width=8, heads=2)
            >>> prior = CodePrior(config, (2, 2), 5, rngs=nnx.Rngs(0))
            >>> upper = np.array([[True, True], [False, False]])
            >>> prior.complete(np.array([[1, 2], [0, 0]]), upper)[0].tolist()
            [1, 2]
        """
        codes, known, single = self._read_known(codes, known)
        choice = self._choice(temperature, y, guidance, top_k, top_p)
        given = jnp.where(known, codes, UNKNOWN).reshape(len(codes), -1)
        found = self._draw(self._labels(y, len(codes)), given, choice, rngs)
        return found[0] if single else found

    def _read_known(self, codes: Any, known: Any) -> tuple[jax.Array, jax.Array, bool]:
        """Return checked codes and their mask as a batch, and whether they were one example's."""
        codes, known = (a if hasattr(a, "dtype") else np.asarray(a) for a in (codes, known))
        single = codes.shape == self.code_shape
        batch = codes[None] if single else codes
        integers = jnp.issubdtype(codes.dtype, jnp.integer)
        if batch.shape[1:] != self.code_shape or not len(batch) or not integers:
            raise ValueError(
                f"codes have shape {codes.shape} and type {codes.dtype}: expected integers (batch, "
                f"{', '.join(map(str, self.code_shape))}), or one example's {self.code_shape}"
            )
        if known.dtype != bool or known.shape not in (self.code_shape, codes.shape):
            raise ValueError(
                f"known has shape {known.shape} and type {known.dtype}: expected booleans of shape "
                f"{self.code_shape} or {codes.shape}, True where a code is kept"
            )
        if is_concrete(codes) and is_concrete(known):
            kept = np.asarray(batch)[np.broadcast_to(known, batch.shape)]
            if kept.size:
                _check_range("codes", kept, "known code", self.codebook_size, "codebook_size")
        return jnp.asarray(batch).astype(jnp.int32), jnp.asarray(known), single

    def _choice(
        self, temperature: ArrayLike, y: Any, guidance: ArrayLike, top_k: Any, top_p: Any
    ) -> Choice:
        """Return how each code is chosen, checked."""
        check_temperature(temperature)
        guided = is_guided(guidance)
        if guided and self.num_classes is None:
            raise ValueError("guidance: this prior has no classes to guide towards; leave it at 1")
        if guided and y is None:
            raise ValueError("guidance is towards a class: pass y, or leave it at 1")
        if top_k is not None:
            top_k = jnp.asarray(checks.positive_int("top_k", top_k), jnp.int32)
        if top_p is not None and is_concrete(top_p) and not 0 < top_p <= 1:
            raise ValueError(f"top_p={top_p!r}: expected 0 < top_p <= 1")
        return Choice(
            jnp.asarray(temperature, jnp.float32),
            jnp.asarray(guidance, jnp.float32) if guided else None,
            top_k,
            None if top_p is None else jnp.asarray(top_p, jnp.float32),
        )

    def _draw(
        self,
        labels: Int[Array, " batch"],
        given: Int[Array, "batch length"],
        choice: Choice,
        rngs: nnx.Rngs | None,
    ) -> Int[Array, "batch ..."]:
        """Draw the codes that are `UNKNOWN` in `given`, each example with a key of its own."""
        keys = row_keys(rngs, self.rngs, len(labels))
        graphdef, state = nnx.split(self)
        size = chunk_size(
            (2, len(self.blocks), prod(self.code_shape), self.positions.features),
            most_bytes=CACHE_BYTES,
        )
        codes = in_chunks(
            lambda labels, given, keys, _: draw_codes(graphdef, state, labels, given, choice, keys),
            labels,
            given,
            keys,
            size=size,
            shared=None,
            networks=(),
        )
        return codes.reshape(len(labels), *self.code_shape)

    def generate(
        self, n_samples: int = 1, *, rngs: nnx.Rngs | None = None, **kwargs: Any
    ) -> jax.Array:
        """Do what `sample` does, under the name of the GenerativeModel interface."""
        return self.sample(n_samples, rngs=rngs, **kwargs)

    # Arguments.

    def read_examples(self, name: str, x: Any) -> Any:
        """Return codes as integers; see `core.arrays.read_codes`."""
        return read_codes(name, x)

    def check_data(self, x: Any, y: Any = None) -> None:
        """Raise a ValueError if concrete codes or labels do not fit this prior."""
        x = x if isinstance(x, jax.Array) else to_array("x", x)
        integers = jnp.issubdtype(x.dtype, jnp.integer)
        if x.shape[1:] != self.code_shape or not len(x) or not integers:
            raise ValueError(
                f"x has shape {x.shape} and type {x.dtype}: expected integer codes (batch, "
                f"{', '.join(map(str, self.code_shape))}), at least one, as encode_indices gives"
            )
        way_out = "codebook_size; for -1, encode without masks and with all stages"
        _check_range("x", x, "code", self.codebook_size, way_out)
        self._labels(None if self.num_classes is None else y, len(x))

    def _labels(self, y: Any, batch: int) -> Int[Array, " batch"]:
        """Return checked labels as rows of `classes`."""
        if y is None:
            return jnp.full((batch,), self.no_class, jnp.int32)
        if self.num_classes is None:
            raise ValueError("y: this prior has no classes; leave y out, or build with num_classes")
        y = read_labels("y", y)
        if y.shape not in ((), (batch,)) or not jnp.issubdtype(y.dtype, jnp.integer):
            raise ValueError(
                f"y has shape {y.shape} and type {y.dtype}: expected integer labels ({batch},), or "
                "one for all"
            )
        _check_range("y", y, "label", self.num_classes, "num_classes")
        return jnp.broadcast_to(jnp.asarray(y).astype(jnp.int32), (batch,))

    def _read(self, x: Any, y: Any) -> tuple[Int[Array, "batch length"], Int[Array, " batch"]]:
        """Return checked codes in rows, and rows of `classes`."""
        x = read_codes("x", x)
        self.check_data(x)
        codes = jnp.asarray(x).astype(jnp.int32)
        return codes.reshape(len(codes), -1), self._labels(y, len(codes))

    def _batch(self, batch: Any) -> tuple[Any, Any]:
        """Return a batch's codes, and those of its labels that this prior reads."""
        batch = batch if isinstance(batch, dict) else {"x": batch}
        if batch.get("x") is None:
            raise ValueError("loss_fn needs codes: pass batch, an array or a dict with key 'x'")
        checks.batch_keys("batch", batch, self.batch_keys)
        return batch["x"], None if self.num_classes is None else batch.get("y")


def is_guided(guidance: ArrayLike) -> bool:
    """Say whether a strength of guidance is not 1, or not known yet, after a check of it."""
    if not is_concrete(guidance):
        return True
    checks.at_least("guidance", guidance, 0.0)
    return bool(guidance != 1)


def _check_range(name: str, values: Any, what: str, size: int, hint: str) -> None:
    if is_concrete(values):
        low, high = np.asarray(values).min(), np.asarray(values).max()
        if low < 0 or high >= size:
            raise ValueError(
                f"{name} holds {what}s from {low} to {high}: expected 0 <= {what} < {size} ({hint})"
            )


def _nats(logits: Array, codes: Array) -> Float[Array, " batch"]:
    """Return -log p of each example's codes, in nats, from the logits of each code."""
    each = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), codes)
    return each.reshape(len(codes), -1).sum(-1)


# Compiled here, once for all equal models, and not at every call of a method.
@functools.partial(jax.jit, static_argnames="graphdef")
def _log_prob(
    graphdef: nnx.GraphDef,
    state: nnx.State,
    codes: Int[Array, "batch length"],
    labels: Int[Array, " batch"],
) -> Float[Array, " batch"]:
    model = nnx.merge(graphdef, state, copy=True)
    return -_nats(model._logits(codes, labels), codes)
