"""The interface of every quantizer: vectors to codes and back, with what training needs."""

from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import check_finite, read_codes
from workshop.generative_models.core.quantizers.search import code_counts, perplexity, unit_length


class CodeState(nnx.Variable):
    """What a quantizer keeps that gradients do not train."""


class Assignment(NamedTuple):
    """What a quantizer makes of n vectors in its own space of codes.

    Attributes:
        continuous: (n, parts, size) what the gradient passes to.
        chosen: (n, parts, size) the codes.
        indices: (n, codes) which they are.
        losses: by name, (n,) what each vector adds, or () what the codebook does.
        statistics: what `update` folds into the state.
    """

    continuous: jax.Array
    chosen: jax.Array
    indices: jax.Array
    losses: dict[str, jax.Array]
    statistics: Any


class Quantizer(nnx.Module):
    """Vectors to codes and back.

    A family says in `assign` which codes stand for which vectors, and in `codes_of` what the codes
    are; shapes, projections, masks, gradients and the sum of the losses are written here, once.

    Attributes:
        dim: size of the vectors that it reads and gives.
        inner: size of the space that the codes are in; another one than dim is projected to and
            from, by learned linear maps.
        codebook_size: number of values of an index.
        codes: number of indices for one vector.
        costs: names and weights of the losses that `loss` adds up.
        random: training draws from a key.
        pooled: all indices of a vector point into one codebook.
    """

    costs: tuple[tuple[str, float], ...] = ()
    random = False
    pooled = True

    def __init__(
        self,
        dim: int,
        inner: int,
        codebook_size: int,
        codes: int = 1,
        *,
        gradient: str = "straight_through",
        rngs: nnx.Rngs | None,
    ):
        self.dim = checks.positive_int("dim", dim)
        self.inner, self.codebook_size, self.codes = inner, codebook_size, codes
        self.gradient = checks.one_of("gradient", gradient, ("straight_through", "rotation"))
        self.project_in = self.project_out = nnx.data(None)
        if inner != dim:
            if rngs is None:
                raise ValueError(
                    f"{type(self).__name__}(dim={dim}) has codes of {inner} numbers, so it "
                    "projects to and from them: pass rngs for the weights"
                )
            self.project_in = nnx.Linear(dim, inner, rngs=rngs)
            self.project_out = nnx.Linear(inner, dim, rngs=rngs)

    @property
    def commitment_cost(self) -> float:
        """Weight of the commitment loss; 0 where nothing commits."""
        return dict(self.costs).get("commitment_loss", 0.0)

    # What a family says.

    def assign(self, vectors: jax.Array, weights: jax.Array, key: jax.Array | None) -> Assignment:
        """Choose the codes of vectors (n, inner); weights (n,) are 0 for padding, else 1."""
        raise NotImplementedError

    def codes_of(self, indices: jax.Array) -> jax.Array:
        """Return the codes (n, inner) of indices (n, codes)."""
        raise NotImplementedError

    def update(self, statistics: Any) -> None:
        """Fold a batch's statistics into the state that gradients do not train; default: none."""

    # What all share.

    def quantize(
        self, z_e: ArrayLike, *, mask: ArrayLike | None = None, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
        """Replace each vector by its codes.

        Args:
            z_e: (batch, ..., dim), or one example's (dim,).
            mask: (batch, ...), False where there is only padding: it gets zeros, the index -1, and
                no part in losses and statistics.
            key: random key of a training step; with None nothing is drawn and nothing begins.

        Returns:
            z_q like z_e; indices (batch, ..., codes), without the last axis if there is one code a
            vector; and a dict of commitment_loss, codebook_loss and what else the family has
            (summed over an example's codes, mean over the batch), loss, their weighted sum,
            perplexity and codes_used, the share of the codes that the batch uses (means over
            several codebooks), and statistics for `update`.
        """
        z_e = jnp.asarray(z_e)
        places = z_e.shape[:-1]
        if z_e.shape[-1:] != (self.dim,):
            raise ValueError(f"z_e has shape {z_e.shape}: expected (batch, ..., {self.dim})")
        if jnp.issubdtype(z_e.dtype, jnp.complexfloating):
            raise ValueError(f"z_e is of type {z_e.dtype}: expected real numbers")
        weights = jnp.ones(prod(places)) if mask is None else _weights(mask, places)
        vectors = z_e.reshape(-1, self.dim).astype(jnp.float32)
        if mask is not None:  # whatever it holds, NaN too
            vectors = jnp.where(weights[:, None] > 0, vectors, 0.0)
        check_finite("z_e", vectors)  # the nearest code of NaN would be any
        inwards = vectors if self.project_in is None else self.project_in(vectors)
        found = self.assign(inwards, weights, key)
        through = rotate_to if self.gradient == "rotation" else straight_through
        z_q = self._outwards(through(found.continuous, found.chosen).reshape(-1, self.inner))
        indices = found.indices
        if mask is not None:
            z_q = jnp.where(weights[:, None] > 0, z_q, 0.0)
            indices = jnp.where(weights[:, None] > 0, indices, -1)
        batch = places[0] if places else 1
        zero = jnp.zeros(())
        terms = {"commitment_loss": zero, "codebook_loss": zero} | {
            name: jnp.sum(weights * value) / batch if value.ndim else value
            for name, value in found.losses.items()
        }
        loss = sum((cost * terms[name] for name, cost in self.costs), zero)
        counts = code_counts(indices, self.codebook_size)
        counts = counts.sum(0, keepdims=True) if self.pooled else counts
        used = jnp.maximum((counts.sum(-1) > 0).astype(jnp.float32), 1e-9)  # not a dropped stage
        return (
            z_q.reshape(z_e.shape),
            indices.reshape(places if self.codes == 1 else (*places, self.codes)),
            {
                **terms,
                "loss": loss,
                "codes_used": jnp.average((counts > 0).mean(-1), weights=used),
                "perplexity": jnp.average(jax.vmap(perplexity)(counts), weights=used),
                "statistics": found.statistics,
            },
        )

    def lookup(self, indices: Any) -> jax.Array:
        """Return the vectors (batch, ..., dim) of indices.

        The index -1 stands for no code, as `quantize` gives it for padding: a vector whose indices
        are all -1 is zeros.

        Args:
            indices: integers (batch, ..., codes), without the last axis if there is one code a
                vector. Traced indices are not checked.

        Raises:
            ValueError: if indices are no integers, or one is neither -1 nor in
                [0, codebook_size).
        """
        given = read_codes("indices", indices)
        if not jnp.issubdtype(given.dtype, jnp.integer):
            raise ValueError(f"indices are {given.dtype}: expected integers")
        rows = given[..., None] if self.codes == 1 else given
        self._check_codes(rows.shape[-1] if rows.ndim else 0)
        if not isinstance(rows, Tracer) and rows.size:
            low, high = int(rows.min()), int(rows.max())
            if low < -1 or high >= self.codebook_size:
                raise ValueError(
                    f"indices lie in [{low}, {high}]: expected 0 <= index < {self.codebook_size} "
                    "(codebook_size), or -1 for no code"
                )
            self._check_missing(np.asarray(rows))
        flat = jnp.asarray(rows).astype(jnp.int32).reshape(-1, rows.shape[-1])
        vectors = self._outwards(self.codes_of(flat))
        vectors = jnp.where((flat >= 0).any(-1, keepdims=True), vectors, 0.0)
        return vectors.reshape(*rows.shape[:-1], self.dim)

    def _check_codes(self, given: int) -> None:
        if given != self.codes:
            raise ValueError(f"indices have {given} codes a vector: expected {self.codes}")

    def _check_missing(self, rows: np.ndarray) -> None:
        """Refuse -1 beside a code of the same vector."""
        none = rows == -1
        if (none.any(-1) & ~none.all(-1)).any():
            raise ValueError(
                f"indices hold -1, no code, beside codes of the same vector: {type(self).__name__} "
                f"needs all {self.codes} codes of a vector, or none"
            )

    def _outwards(self, vectors: jax.Array) -> jax.Array:
        return vectors if self.project_out is None else self.project_out(vectors)


def _weights(mask: ArrayLike, places: tuple[int, ...]) -> jax.Array:
    """Return a mask as weights (n,) of 0 and 1."""
    if jnp.shape(mask) != places:
        raise ValueError(f"mask has shape {jnp.shape(mask)}: expected {places}, as z_e has")
    if not isinstance(mask, Tracer) and not np.isin(np.asarray(mask), (0, 1)).all():
        raise ValueError("mask holds other values than True and False (or 1 and 0)")
    return jnp.asarray(mask).reshape(-1).astype(jnp.float32)


def straight_through(
    continuous: Float[Array, "*shape"], quantized: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return `quantized` exactly, with the gradient of `continuous` exactly the identity.

    References:
        Bengio, Léonard & Courville, Estimating or Propagating Gradients Through Stochastic Neurons,
        2013.
    """
    return jax.lax.stop_gradient(quantized) + (continuous - jax.lax.stop_gradient(continuous))


def rotate_to(
    continuous: Float[Array, "*places dim"], quantized: Float[Array, "*places dim"]
) -> Float[Array, "*places dim"]:
    r"""Return `quantized` exactly, with the gradient of the rotation that takes z to it.

        q = ‖q‖/‖z‖ R z,   R = I - 2 w wᵀ + 2 q̂ ẑᵀ,   w = (ẑ + q̂) / ‖ẑ + q̂‖

    R and the ratio of the lengths count as constants.

    Args:
        continuous: z, (..., dim).
        quantized: q, of the same shape.

    References:
        Fifty et al., Restructuring Vector Quantization with the Rotation Trick, ICLR 2025.
    """
    z, q = jax.lax.stop_gradient((continuous, quantized))
    z_hat, q_hat = unit_length(z), unit_length(q)
    w = unit_length(z_hat + q_hat)

    def along(a: jax.Array) -> jax.Array:
        return jnp.sum(continuous * a, axis=-1, keepdims=True)

    length = jnp.linalg.norm(q, axis=-1, keepdims=True)
    ratio = length / jnp.maximum(jnp.linalg.norm(z, axis=-1, keepdims=True), 1e-6)
    rotated = ratio * (continuous - 2 * along(w) * w + 2 * along(z_hat) * q_hat)
    return straight_through(rotated, q)
