"""A causal transformer over the codes of an example."""

import functools
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from workshop.generative_models.core import checks
from workshop.generative_models.core.base import GenerativeModel
from workshop.generative_models.core.configuration import PriorConfig

_small = nnx.initializers.normal(0.02)  # the first predictions are nearly even


class _Block(nnx.Module):
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


class CodeTransformer(GenerativeModel):
    """A network that predicts each code of an example from those before it; see `CodePrior`.

    Each stage has token embeddings and an output layer of its own; the last class is "no class".
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
        self.blocks = nnx.List(_Block(config, rngs=rngs) for _ in range(config.layers))
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.readout = nnx.Einsum(
            "bpsw,swk->bpsk",
            (codes, width, self.codebook_size),
            kernel_init=_small,
            rngs=rngs,
        )
        self.deterministic = False  # `train()` and `eval()` set this, as they do in dropout
        self.rngs = nnx.data(rngs)

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

    def next_logits(
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
