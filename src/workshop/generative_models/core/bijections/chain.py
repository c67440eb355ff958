"""Compositions and inverses of bijections."""

import dataclasses

import jax
import jax.numpy as jnp

from workshop.generative_models.core.bijections.base import STACKED, Bijection


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Chain(Bijection):
    """f = f_n ∘ … ∘ f_1: the first of the parts is applied first.

    Args:
        parts: the bijections.
    """

    parts: tuple[Bijection, ...]

    @property
    def explicit_inverse(self) -> bool:  # type: ignore[override]
        """Whether every part has an explicit inverse."""
        return all(part.explicit_inverse for part in self.parts)

    @property
    def orthogonal(self) -> bool:  # type: ignore[override]
        """Whether every part is orthogonal."""
        return all(part.orthogonal for part in self.parts)

    @property
    def event_size(self) -> int | None:
        """The size of the first part that has one."""
        return next((p.event_size for p in self.parts if p.event_size is not None), None)

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_det = jnp.zeros((), x.dtype)
        for part in self.parts:
            x, more = part._forward(x)
            log_det += more
        return x, log_det

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_det = jnp.zeros((), y.dtype)
        for part in reversed(self.parts):
            y, more = part._inverse(y)
            log_det += more
        return y, log_det


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Repeat(Bijection):
    """f = f_n ∘ … ∘ f_1 with steps of one kind, as a loop: one step is compiled.

    Args:
        steps: a bijection whose arrays have an axis of the steps, left of those that it reads and
            right of batch axes.
    """

    steps: Bijection = dataclasses.field(metadata=STACKED)

    @property
    def explicit_inverse(self) -> bool:  # type: ignore[override]
        """Whether a step has an explicit inverse."""
        return self.steps.explicit_inverse

    @property
    def orthogonal(self) -> bool:  # type: ignore[override]
        """Whether a step is orthogonal."""
        return self.steps.orthogonal

    @property
    def event_size(self) -> int | None:
        """The size of a step."""
        return self.steps.event_size

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, log_dets = jax.lax.scan(lambda x, step: step._forward(x), x, self.steps)
        return y, log_dets.sum()

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, log_dets = jax.lax.scan(lambda y, step: step._inverse(y), y, self.steps, reverse=True)
        return x, log_dets.sum()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Invert(Bijection):
    """f⁻¹ of another bijection f.

    Its own inverse, f, counts as explicit.

    Args:
        inner: f.
    """

    inner: Bijection

    @property
    def orthogonal(self) -> bool:  # type: ignore[override]
        """Whether f is orthogonal."""
        return self.inner.orthogonal

    @property
    def event_size(self) -> int | None:
        """The size of f."""
        return self.inner.event_size

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self.inner._inverse(x)

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self.inner._forward(y)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Reverse(Bijection):
    """The entries in reverse order, so that other entries come first in the next bijection."""

    orthogonal = True

    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x[::-1], jnp.zeros((), x.dtype)

    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self._forward(y)
