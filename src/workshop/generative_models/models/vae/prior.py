"""A prior over maps of codes: a causal transformer over the codes of an example."""

import functools
from math import log, prod
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import read_codes
from workshop.generative_models.core.containers import to_array
from workshop.generative_models.core.modules import row_keys, sample_key
from workshop.generative_models.models.vae.chunks import chunk_size, in_chunks
from workshop.generative_models.models.vae.code_arguments import (
    check_codes,
    choice_of,
    labels_of,
    read_known,
)
from workshop.generative_models.models.vae.code_sampling import UNKNOWN, Choice, draw_codes
from workshop.generative_models.models.vae.code_transformer import CodeTransformer

UNLABELLED = 0.1
"""Share of a batch that training shows to a conditional prior without its class, so that the prior
also learns the codes of no class in particular (as Ho & Salimans do, arXiv 2207.12598)."""

_CACHE_BYTES = 1 << 28
"""Bytes of the keys and values that a chunk of samples keeps."""


class CodePrior(CodeTransformer):
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
        >>> from flax import nnx
        >>> from workshop.generative_models.core.configuration import PriorConfig
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

    # Probabilities.

    def __call__(  # type: ignore[override]
        self, x: ArrayLike, y: Any = None, *, rngs: nnx.Rngs | None = None
    ) -> dict[str, jax.Array]:
        """Return {"logits": (batch, *code_shape, codebook_size)} of every code given those before.

        Args:
            x: codes (batch, *code_shape).
            y: labels (batch,), one label for all, or None for no class.
            rngs: what training mode draws from.
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
        """Return log p(s | y) of codes (batch, *code_shape), in nats, with nothing dropped out."""
        codes, labels = self._read(indices, y)
        widest = prod(self.code_shape) * max(self.codebook_size, 4 * self.positions.features)
        size = chunk_size((widest,), most_bytes=_CACHE_BYTES)
        return in_chunks(functools.partial(_log_prob, *nnx.split(self)), codes, labels, size=size)

    def loss_fn(
        self, params: Any = None, batch: Any = None, rng: jax.Array | None = None, **kwargs: Any
    ) -> dict[str, jax.Array]:
        """Return the losses of a batch: L = -log p(s | y) in nats per example, mean over the batch.

        Args:
            params: parameters to use in place of the model's own; see `with_params`.
            batch: codes (batch, *code_shape), or {"x": codes, "y": labels}. Labels are read by a
                prior with classes only, to which none are "no class".
            rng: random key of training mode; the model's own streams if None.
            kwargs: `step`, which changes nothing here.

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
        top_p leave.

        Args:
            n_samples: a Python int; static under jit.
            temperature: what the logits are divided by; 0 takes the most probable code each time.
            y: labels (n_samples,), one label for all, or None for no class.
            guidance: 1 draws from p(s | y) itself; above 1 samples are more surely of their class,
                and less varied; 0 does not look at the class. Any but 1 takes twice the work, and
                needs y.
            top_k: draw among the k most probable codes; of equal ones, those of lower index.
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
        choice = choice_of(self, temperature, y, guidance, top_k, top_p)
        unknown = jnp.full((n_samples, prod(self.code_shape)), UNKNOWN)
        return self._draw(labels_of(self, y, n_samples), unknown, choice, rngs)

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

        `codes` are integers (batch, *code_shape), or one example's, of which unknown ones are not
        read; `known` holds booleans of their shape or of code_shape, True where a code is kept. The
        result has the shape of `codes`. The other arguments are those of `sample`.

        Each code is drawn given all before it, known or drawn. Where the known codes come first in
        raster order, such as the upper half of an image, that is exactly p(unknown | known).
        Otherwise, as with the left half, a code does not look at known ones that come after it, and
        the result is not a sample of that conditional distribution.

        Raises:
            ValueError: for codes or masks of another shape or type, known codes out of range, and
                as in `sample`.

        Examples:
            >>> import numpy as np
            >>> from flax import nnx
            >>> from workshop.generative_models.core.configuration import PriorConfig
            >>> config = PriorConfig(layers=1, width=8, heads=2)
            >>> prior = CodePrior(config, (2, 2), 5, rngs=nnx.Rngs(0))
            >>> upper = np.array([[True, True], [False, False]])
            >>> prior.complete(np.array([[1, 2], [0, 0]]), upper)[0].tolist()
            [1, 2]
        """
        codes, known, single = read_known(self, codes, known)
        choice = choice_of(self, temperature, y, guidance, top_k, top_p)
        given = jnp.where(known, codes, UNKNOWN).reshape(len(codes), -1)
        found = self._draw(labels_of(self, y, len(codes)), given, choice, rngs)
        return found[0] if single else found

    def _draw(
        self,
        labels: Int[Array, " batch"],
        given: Int[Array, "batch length"],
        choice: Choice,
        rngs: nnx.Rngs | None,
    ) -> Int[Array, "batch ..."]:
        """Draw the codes that are `UNKNOWN` in `given`, each example with a key of its own."""
        keys = row_keys(rngs, self.rngs, len(labels))
        draw = functools.partial(draw_codes, *nnx.split(self), choice)
        cached = (2, len(self.blocks), prod(self.code_shape), self.positions.features)
        size = chunk_size(cached, most_bytes=_CACHE_BYTES)
        codes = in_chunks(draw, labels, given, keys, size=size)
        return codes.reshape(len(labels), *self.code_shape)

    def generate(
        self, n_samples: int = 1, *, rngs: nnx.Rngs | None = None, **kwargs: Any
    ) -> jax.Array:
        """Call `sample`."""
        return self.sample(n_samples, rngs=rngs, **kwargs)

    # Arguments.

    def read_examples(self, name: str, x: Any) -> Any:
        """Return codes as integers; see `core.arrays.read_codes`."""
        return read_codes(name, x)

    def check_data(self, x: Any, y: Any = None) -> None:
        """Raise a ValueError if concrete codes or labels do not fit this prior."""
        x = x if isinstance(x, jax.Array) else to_array("x", x)
        check_codes(self, x)
        labels_of(self, None if self.num_classes is None else y, len(x))

    def _read(self, x: Any, y: Any) -> tuple[Int[Array, "batch length"], Int[Array, " batch"]]:
        """Return checked codes in rows, and rows of `classes`."""
        x = read_codes("x", x)
        self.check_data(x)
        codes = jnp.asarray(x).astype(jnp.int32)
        return codes.reshape(len(codes), -1), labels_of(self, y, len(codes))

    def _batch(self, batch: Any) -> tuple[Any, Any]:
        """Return a batch's codes, and those of its labels that this prior reads."""
        batch = batch if isinstance(batch, dict) else {"x": batch}
        if batch.get("x") is None:
            raise ValueError("loss_fn needs codes: pass batch, an array or a dict with key 'x'")
        checks.batch_keys("batch", batch, self.batch_keys)
        return batch["x"], None if self.num_classes is None else batch.get("y")


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
