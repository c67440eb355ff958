"""Vector quantization: a codebook that is learned, averaged or frozen."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.quantizers.base import Assignment, CodeState, Quantizer
from workshop.generative_models.core.quantizers.search import (
    code_counts,
    kmeans,
    nearest_code,
    refill,
    spread,
    unit_length,
)

_LEARNING = ("loss", "ema", "frozen")


class VectorQuantizer(Quantizer):
    r"""The nearest code of a codebook.

        z_q = e_k,  k = argmin_j ‖z_e - e_j‖²
        loss = ‖sg[z_e] - e_k‖² + commitment_cost ‖z_e - sg[e_k]‖²

    Or the codes are averages of the vectors that chose them, with no loss of their own:

        N_k ← γ N_k + (1-γ) n_k,   m_k ← γ m_k + (1-γ) Σ z_e,   e_k = m_k / Ñ_k,
        Ñ_k = (N_k + ε) / (N + K ε) N,   N = Σ N_k.

    Args:
        dim: size of the vectors.
        codebook_size: number of codes K.
        rngs: for the initial codes and projections.
        code_dim: size of a code; if heads * code_dim is not dim, vectors are projected.
        heads: codes for one vector, each for a part of it.
        shared: all heads choose from one codebook; else each has its own.
        distance: "euclidean"; or "cosine", vectors and codes on the unit sphere.
        learning: "loss", by gradients; "ema", by moving averages; or "frozen".
        decay: γ, how much of the averages stays at each step.
        epsilon: ε, Laplace's smoothing of the counts.
        kmeans: begin with the means of the first training batch.
        kmeans_iterations: how often they move.
        revive_below: share of the codes' mean usage below which a code is dead; it begins anew at a
            vector of the batch that is far from its code. 0 revives none.
        commitment_cost: weight of the commitment loss.
        gradient: "straight_through" or "rotation".
        temperature: in training, codes are drawn by softmax(-½‖z_e - e_k‖² / temperature); 0 takes
            the nearest.
        orthogonal_cost: weight of ‖Ê Êᵀ‖²/K² - 1/K, Ê the codes at unit length.
        diversity_cost: weight of -H(mean p), p = softmax(-½‖z_e - e_k‖² / diversity_temperature),
            in nats for each code.
        entropy_cost: weight of the mean H(p).
        diversity_temperature: of p. Both entropies hold all distances in memory.

    Attributes:
        embeddings: the codes, `nnx.Embed` of (K, code_dim), one codebook after another.
        cluster_size: (codebooks, K) moving average of how often each code is chosen in a batch.
        average: (codebooks, K, code_dim) moving average of the sum of what chose it.

    References:
        van den Oord, Vinyals & Kavukcuoglu, Neural Discrete Representation Learning, NeurIPS 2017;
        Razavi et al. 2019 (averages); Yu et al., Vector-quantized Image Modeling with Improved
        VQGAN, ICLR 2022 (low-dimensional codes, cosine); Shin et al. 2021 (orthogonality); Takida
        et al., SQ-VAE, ICML 2022 (stochastic assignment).

    Examples:
        >>> quantizer = VectorQuantizer(4, 8, rngs=nnx.Rngs(0))
        >>> z_q, indices, terms = quantizer.quantize(jnp.ones((2, 3, 4)))
        >>> z_q.shape, indices.shape, bool((quantizer.lookup(indices) == z_q).all())
        ((2, 3, 4), (2, 3), True)
    """

    def __init__(
        self,
        dim: int,
        codebook_size: int = 512,
        *,
        rngs: nnx.Rngs,
        code_dim: int | None = None,
        heads: int = 1,
        shared: bool = True,
        distance: str = "euclidean",
        learning: str = "loss",
        decay: float = 0.99,
        epsilon: float = 1e-5,
        kmeans: bool = False,
        kmeans_iterations: int = 10,
        revive_below: float = 0.0,
        commitment_cost: float = 0.25,
        gradient: str = "straight_through",
        temperature: float = 0.0,
        orthogonal_cost: float = 0.0,
        diversity_cost: float = 0.0,
        entropy_cost: float = 0.0,
        diversity_temperature: float = 1.0,
    ):
        checks.positive_int("heads", heads)
        checks.positive_int("codebook_size", codebook_size)
        if code_dim is None and dim % heads:
            raise ValueError(f"heads={heads} must divide dim={dim}, or give code_dim")
        size = dim // heads if code_dim is None else checks.positive_int("code_dim", code_dim)
        super().__init__(dim, heads * size, codebook_size, heads, gradient=gradient, rngs=rngs)
        self.size, self.books = size, 1 if shared else heads
        self.pooled = self.books == 1
        self.unit = checks.one_of("distance", distance, ("euclidean", "cosine")) == "cosine"
        self.learning = checks.one_of("learning", learning, _LEARNING)
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"decay={decay}: expected 0 <= decay < 1, such as 0.99")
        self.decay, self.epsilon = decay, checks.at_least("epsilon", epsilon, 0.0)
        self.kmeans = kmeans
        self.kmeans_iterations = checks.positive_int("kmeans_iterations", kmeans_iterations)
        self.revive_below = checks.at_least("revive_below", revive_below, 0.0)
        if learning == "frozen" and (kmeans or revive_below):
            raise ValueError("learning='frozen' keeps the codes: kmeans and revive_below move them")
        self.temperature = checks.at_least("temperature", temperature, 0.0)
        self.diversity_temperature = checks.positive("diversity_temperature", diversity_temperature)
        costs = {
            "commitment_loss": checks.at_least("commitment_cost", commitment_cost, 0.0),
            "codebook_loss": float(learning == "loss"),
            "orthogonal_loss": checks.at_least("orthogonal_cost", orthogonal_cost, 0.0),
            "diversity_loss": checks.at_least("diversity_cost", diversity_cost, 0.0),
            "entropy_loss": checks.at_least("entropy_cost", entropy_cost, 0.0),
        }
        self.costs = tuple((name, cost) for name, cost in costs.items() if cost)
        self.random = bool(kmeans or revive_below or temperature)
        self.embeddings = nnx.Embed(
            self.books * codebook_size, size, rngs=rngs, embedding_init=_initial_codes
        )
        codes = self._books(self.embeddings.embedding[...])
        codes = unit_length(codes) if self.unit else codes
        kind: Any = nnx.Param if learning == "loss" else CodeState
        self.embeddings.embedding = kind(codes.reshape(-1, size))
        self.keeps = learning == "ema" or revive_below > 0 or kmeans
        if self.keeps:
            self.cluster_size = CodeState(jnp.ones(codes.shape[:2]))
            self.average = CodeState(codes)
            self.begun = CodeState(jnp.asarray(not kmeans))

    def codebook(self) -> jax.Array:
        """Return the codes, (codebooks, K, code_dim)."""
        codes = self._books(self.embeddings.embedding[...])
        return unit_length(codes) if self.unit else codes

    def codes_of(self, indices: jax.Array) -> jax.Array:
        """Return the codes (n, heads * code_dim) of indices (n, heads)."""
        codes = self.codebook()
        book = jnp.arange(self.codes) if self.books > 1 else 0
        return codes[book, jnp.maximum(indices, 0)].reshape(-1, self.inner)

    def assign(self, vectors: jax.Array, weights: jax.Array, key: jax.Array | None) -> Assignment:
        """Choose the nearest codes, or draw them."""
        parts = self._parts(vectors)  # (codebooks, m, code_dim)
        parts = unit_length(parts) if self.unit else parts
        counted = jnp.broadcast_to(
            weights if self.books > 1 else jnp.repeat(weights, self.codes), parts.shape[:2]
        )
        fixed = jax.lax.stop_gradient(parts)
        codes = self.codebook()
        if self.kmeans and key is not None:
            codes = self._begin(codes, fixed, counted, jax.random.fold_in(key, 0))
        draws = None if key is None else jax.random.fold_in(key, 1)
        indices = self._choose(fixed, jax.lax.stop_gradient(codes), draws)
        chosen = jnp.take_along_axis(codes, indices[..., None], 1)
        losses = self._losses(parts, codes, chosen, counted)
        statistics = {}
        if self.keeps:
            revive = None if key is None else jax.random.fold_in(key, 2)
            statistics = jax.lax.stop_gradient(
                self._statistics(fixed, codes, chosen, indices, counted, revive)
            )
        choice = self._vectors(indices[..., None])[..., 0]
        return Assignment(self._vectors(parts), self._vectors(chosen), choice, losses, statistics)

    def update(self, statistics: Any) -> None:
        """Move the averages and, where they make the codes, the codes; revive dead ones.

        The first batch of a codebook that begins with its means sets the averages. A revived code
        that the loss trains keeps what the optimizer remembers of the dead one.
        """
        if not statistics:
            return
        counts, sums, codes = (statistics[name] for name in ("counts", "sums", "codes"))
        uses = self.decay * self.cluster_size[...] + (1 - self.decay) * counts
        average = self.decay * self.average[...] + (1 - self.decay) * sums
        # The averages of codes that only now began are those of this batch.
        here = jnp.where(counts[..., None] > 0, sums, codes)
        uses = jnp.where(self.begun[...], uses, jnp.maximum(counts, 1.0))
        average = jnp.where(self.begun[...], average, here)
        if self.learning == "ema":
            total = uses.sum(-1, keepdims=True)
            smoothed = (uses + self.epsilon) / (total + self.codebook_size * self.epsilon) * total
            codes = average / smoothed[..., None]
            codes = unit_length(codes) if self.unit else codes
        else:
            codes = jnp.where(self.begun[...], self.codebook(), codes)
        if self.revive_below and "spare" in statistics:
            mean = uses.mean(-1, keepdims=True)
            dead = uses < self.revive_below * mean
            codes, begins = jax.vmap(refill)(codes, dead, statistics["spare"], statistics["new"])
            average = jnp.where(begins[..., None], codes * mean[..., None], average)
            uses = jnp.where(begins, mean, uses)
        self.cluster_size[...], self.average[...] = uses, average
        self.begun[...] = self.begun[...] | statistics["begins"]
        self.embeddings.embedding[...] = codes.reshape(-1, self.size)

    def _books(self, rows: jax.Array) -> jax.Array:
        return rows.reshape(self.books, -1, self.size)

    def _parts(self, vectors: jax.Array) -> jax.Array:
        """Return vectors (n, heads * size) as (codebooks, m, size)."""
        heads = vectors.reshape(-1, self.codes, self.size)
        return jnp.moveaxis(heads, 1, 0) if self.books > 1 else heads.reshape(1, -1, self.size)

    def _vectors(self, parts: jax.Array) -> jax.Array:
        """Return (codebooks, m, size) as (n, heads, size)."""
        if self.books > 1:
            return jnp.moveaxis(parts, 0, 1)
        return parts.reshape(-1, self.codes, parts.shape[-1])

    def _choose(self, parts: jax.Array, codes: jax.Array, key: jax.Array | None) -> jax.Array:
        if not self.temperature or key is None:
            return jax.vmap(nearest_code)(parts, codes)
        draw = partial(nearest_code, temperature=self.temperature)
        return jax.vmap(draw)(parts, codes, key=jax.random.split(key, self.books))

    def _begin(
        self, codes: jax.Array, parts: jax.Array, counted: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Return the codes, or before the first update the means of these vectors."""
        of_book = partial(
            kmeans, codes=self.codebook_size, iterations=self.kmeans_iterations, unit=self.unit
        )

        def means(_: jax.Array) -> jax.Array:
            keys = jax.random.split(key, self.books)
            return jax.lax.stop_gradient(jax.vmap(of_book)(parts, counted, keys))

        return jax.lax.cond(self.begun[...], lambda c: c, means, codes)

    def _losses(
        self, parts: jax.Array, codes: jax.Array, chosen: jax.Array, counted: jax.Array
    ) -> dict[str, jax.Array]:
        def each(a: jax.Array, b: jax.Array) -> jax.Array:
            return self._vectors(jnp.sum(jnp.square(a - b), -1, keepdims=True)).sum((1, 2))

        wanted = dict(self.costs)
        losses = {"commitment_loss": each(parts, jax.lax.stop_gradient(chosen))}
        if "codebook_loss" in wanted:
            losses["codebook_loss"] = each(jax.lax.stop_gradient(parts), chosen)
        if "orthogonal_loss" in wanted:
            directions = unit_length(codes)
            # ‖Ê Êᵀ‖ = ‖Êᵀ Ê‖, which is as small as a code, not as large as the codebook.
            gram = jnp.einsum("bkd,bke->bde", directions, directions)
            k = self.codebook_size
            losses["orthogonal_loss"] = jnp.sum(jnp.square(gram)) / (self.books * k**2) - 1 / k
        if "diversity_loss" in wanted or "entropy_loss" in wanted:
            half = 0.5 * jnp.sum(jnp.square(codes), -1)[:, None]
            logits = (jnp.einsum("bmd,bkd->bmk", parts, codes) - half) / self.diversity_temperature
            log_p = jax.nn.log_softmax(logits)
            p = jnp.exp(log_p)
            share = counted / jnp.maximum(counted.sum(-1, keepdims=True), 1.0)
            mean = jnp.einsum("bmk,bm->bk", p, share)
            diversity = jnp.sum(mean * jnp.log(jnp.maximum(mean, 1e-20)), -1)
            n = len(parts[0]) * self.books // self.codes
            losses["diversity_loss"] = jnp.full(n, self.codes * diversity.mean())
            entropy = -jnp.sum(p * log_p, -1, keepdims=True)
            losses["entropy_loss"] = self._vectors(entropy).sum((1, 2))
        return losses

    def _statistics(
        self,
        parts: jax.Array,
        codes: jax.Array,
        chosen: jax.Array,
        indices: jax.Array,
        counted: jax.Array,
        key: jax.Array | None,
    ) -> dict[str, jax.Array]:
        size = self.codebook_size
        counts = code_counts(indices.T, size, counted.T)
        sum_each = partial(jax.ops.segment_sum, num_segments=size)
        sums = jax.vmap(sum_each)(counted[..., None] * parts, indices)
        begins = jnp.asarray(key is not None) & (counted.sum() > 0)  # not of a dropped stage
        statistics = {"counts": counts, "sums": sums, "codes": codes, "begins": begins}
        if self.revive_below and key is not None:
            gaps = counted * jnp.sum(jnp.square(parts - chosen), -1)
            keys = jax.random.split(key, self.books)
            places, new = jax.vmap(lambda g, k: spread(g, size, k))(gaps, keys)
            statistics["spare"] = jnp.take_along_axis(parts, places[..., None], 1)
            statistics["new"] = new
        return statistics


def _initial_codes(key: jax.Array, shape: tuple[int, ...], dtype: Any, *_: Any) -> jax.Array:
    """Draw codes evenly from [-1/K, 1/K], K codes, as van den Oord et al. do."""
    return jax.random.uniform(key, shape, dtype, -1.0 / shape[0], 1.0 / shape[0])
