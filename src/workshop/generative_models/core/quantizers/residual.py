"""Residual quantization: each stage quantizes what the stages before it left over."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core import checks
from workshop.generative_models.core.quantizers.base import Assignment, Quantizer


class ResidualQuantizer(Quantizer):
    r"""A stack of quantizers, each of what the ones before it left over.

        r_1 = z_e,   q_s = Q_s(r_s),   r_{s+1} = r_s - sg[q_s],   z_q = Σ_s q_s

    The gradient passes all stages once, as one step from z_e to z_q. The first n stages alone
    decode: `lookup` takes indices of any number of them.

    Args:
        stages: quantizers of one size and number of codes, without projections and with one code a
            vector. The same object in every place is one codebook for all.
        dim: size of the vectors; another one than the stages' is projected.
        dropout: in training keep only the first 1, 2, ... or all stages, each as often, for a whole
            batch; the indices of the others are -1.
        ratio: stage s reads ratio^s r_s and its codes count ratio^-s: for FSQ and LFQ, whose codes
            are all of one scale.
        gradient: "straight_through" or "rotation".
        rngs: for the projections, if there are any.

    References:
        Zeghidour et al., SoundStream, 2021; Lee et al., Autoregressive Image Generation using
        Residual Quantization, CVPR 2022.

    Examples:
        >>> from workshop.generative_models.core.quantizers import VectorQuantizer
        >>> stages = [VectorQuantizer(4, 8, rngs=nnx.Rngs(i)) for i in range(3)]
        >>> quantizer = ResidualQuantizer(stages)
        >>> _, indices, _ = quantizer.quantize(jnp.ones((2, 5, 4)))
        >>> indices.shape, quantizer.lookup(indices[..., :2]).shape
        ((2, 5, 3), (2, 5, 4))
    """

    def __init__(
        self,
        stages: Sequence[Quantizer],
        *,
        dim: int | None = None,
        dropout: bool = False,
        ratio: float = 1.0,
        gradient: str = "straight_through",
        rngs: nnx.Rngs | None = None,
    ):
        if not stages:
            raise ValueError("stages is empty: give at least one quantizer")
        first = stages[0]
        for i, stage in enumerate(stages):
            if (stage.dim, stage.codebook_size) != (first.dim, first.codebook_size):
                raise ValueError(
                    f"stages[{i}] has vectors of {stage.dim} and {stage.codebook_size} codes, "
                    f"stages[0] {first.dim} and {first.codebook_size}: they must agree"
                )
            if stage.costs != first.costs:
                raise ValueError(
                    f"stages[{i}] and stages[0] weigh losses otherwise: make them alike"
                )
            if stage.codes != 1 or stage.inner != stage.dim:
                raise ValueError(
                    f"stages[{i}] projects its vectors or has several codes for one: give "
                    "ResidualQuantizer(dim=...) and stages of the size of their codes"
                )
        alike = len({id(stage) for stage in stages})
        if alike not in (1, len(stages)):
            raise ValueError("stages: share one codebook among all of them, or none")
        checks.positive("ratio", ratio)
        sizes = first.dim if dim is None else dim, first.dim, first.codebook_size, len(stages)
        super().__init__(*sizes, gradient=gradient, rngs=rngs)
        self.stages = nnx.List(stages)
        self.dropout, self.ratio = dropout, float(ratio)
        self.shared = len(stages) > 1 and alike == 1
        self.pooled = self.shared
        self.random = dropout or any(stage.random for stage in stages)
        self.costs = first.costs

    def assign(self, vectors: jax.Array, weights: jax.Array, key: jax.Array | None) -> Assignment:
        """Quantize stage after stage."""
        keys: list[Any] = [None] * self.codes
        kept = jnp.asarray(self.codes)
        if key is not None:
            *keys, last = jax.random.split(key, self.codes + 1)
            kept = jax.random.randint(last, (), 1, self.codes + 1) if self.dropout else kept
        left, total = vectors, jnp.zeros_like(vectors)
        indices, losses, statistics = [], {}, []
        for s, stage in enumerate(self.stages):
            scale, used = self.ratio**s, (s < kept).astype(jnp.float32)
            found = stage.assign(left * scale, weights * used, keys[s])
            code = found.chosen.reshape(vectors.shape) / scale
            left = left - jax.lax.stop_gradient(code)
            total = total + used * code
            indices.append(jnp.where(used > 0, found.indices, -1))
            for name, value in found.losses.items():
                if value.ndim or not (self.shared and s):  # a shared codebook's own loss once
                    losses[name] = losses.get(name, 0.0) + used * value
            statistics.append(found.statistics)
        return Assignment(
            vectors[:, None], total[:, None], jnp.concatenate(indices, -1), losses, statistics
        )

    def codes_of(self, indices: jax.Array) -> jax.Array:
        """Return the sum of the first stages' codes."""
        total = jnp.zeros((len(indices), self.inner))
        for s in range(indices.shape[-1]):
            code = self.stages[s].codes_of(indices[:, s, None]) / self.ratio**s
            total += jnp.where(indices[:, s, None] >= 0, code, 0.0)
        return total

    def update(self, statistics: Any) -> None:
        """Update every stage; a shared codebook once, with the sums over stages."""
        if not self.shared:
            for stage, found in zip(self.stages, statistics, strict=True):
                stage.update(found)
        elif statistics and statistics[0]:
            # What is drawn for revival comes from the first stage, whose vectors are the largest;
            # and it alone begins the codes, which the others did not choose from.
            first, *others = statistics
            codebook: Any = self.stages[0]
            counted = codebook.begun[...]
            sums = {
                name: first[name] + counted * sum(found[name] for found in others)
                for name in ("counts", "sums")
            }
            codebook.update(first | sums)

    def _check_codes(self, given: int) -> None:
        if not 1 <= given <= self.codes:
            raise ValueError(
                f"indices have {given} stages: expected 1 to {self.codes} of them, the first ones"
            )

    def _check_missing(self, rows: np.ndarray) -> None:
        """Refuse a stage that follows one without a code."""
        none = rows == -1
        if (none[..., :-1] & ~none[..., 1:]).any():
            raise ValueError(
                "indices hold -1, no code, before the code of a later stage: give the first stages "
                "of each vector, and -1 for all after them"
            )
