"""The interface of bijections."""

import abc
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

Leaf = jax.Array | Any
"""Type of a field that holds an array; JAX also builds pytrees of axes, shapes and sentinels."""


SCALAR, VECTOR, MATRIX = ({"rank": rank} for rank in range(3))
"""Metadata of a field of arrays: how many axes they have in an unbatched bijection."""
STACKED = {"axes": 1}
"""Metadata of a field of bijections whose arrays have one more axis, for several of them."""
STATIC = {"static": True}
"""Metadata of a field that is a part of the structure, not an array."""


class Bijection(abc.ABC):
    """y = f(x), an invertible map of vectors, with log |det ∂y/∂x|.

    A pytree of arrays: a subclass is a frozen dataclass registered with
    `jax.tree_util.register_dataclass`, whose fields have the metadata above or hold bijections. It
    defines `_forward` and `_inverse` for one vector; the methods here check the shape and map over
    batch axes on the left, those of x and of the parameters, which broadcast.

    Attributes:
        explicit_inverse: False if the inverse is a loop, of many times the cost of the map.
        orthogonal: True if the map is a rotation or reflection, y = Q x with Qᵀ Q = I.
        event_size: size of x; None if any size will do.
    """

    explicit_inverse: ClassVar[bool] = True
    orthogonal: ClassVar[bool] = False

    @property
    def event_size(self) -> int | None:
        """Size of x; None if any size will do."""
        return None

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes of the parameters."""
        leaves = zip(jax.tree.leaves(self), _ranks(self), strict=True)
        return np.broadcast_shapes(*(leaf.shape[: leaf.ndim - rank] for leaf, rank in leaves))

    def forward(self, x: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """Return y = f(x), [*batch, event], and log |det ∂y/∂x|, [*batch].

        Raises:
            ValueError: if x has another size.
        """
        return self._mapped("forward", type(self)._forward, x)

    def inverse(self, y: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """Return x with f(x) = y, [*batch, event], and log |det ∂x/∂y|, [*batch].

        Raises:
            ValueError: if y has another size.
        """
        return self._mapped("inverse", type(self)._inverse, y)

    # Defined by subclasses for one vector (event,); the second value is a scalar.

    @abc.abstractmethod
    def _forward(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return y and log |det ∂y/∂x|."""

    @abc.abstractmethod
    def _inverse(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return x and log |det ∂x/∂y|."""

    def _mapped(
        self, call: str, function: Callable[..., Any], x: ArrayLike
    ) -> tuple[jax.Array, jax.Array]:
        x = jnp.asarray(x)
        if x.ndim == 0 or self.event_size not in (None, x.shape[-1]):
            size = "event" if self.event_size is None else self.event_size
            raise ValueError(
                f"{type(self).__name__}.{call}: got an array of shape {x.shape}: expected "
                f"(..., {size}), the batch axes and the event axis"
            )
        leaves, structure = jax.tree.flatten(self)
        axes = [",".join(f"a{i}b{j}" for j in range(rank)) for i, rank in enumerate(_ranks(self))]
        signature = ",".join(f"({names})" for names in ["n", *axes]) + "->(n),()"

        def one(x: jax.Array, *leaves: jax.Array) -> tuple[jax.Array, jax.Array]:
            return function(jax.tree.unflatten(structure, leaves), x)

        return jnp.vectorize(one, signature=signature)(x, *leaves)


def _ranks(node: Any) -> Iterator[int]:
    """Yield the rank of each leaf of a bijection, in the order of its leaves."""
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if "rank" in field.metadata:
            yield from [field.metadata["rank"]] * len(jax.tree.leaves(value))
        elif not field.metadata.get("static"):
            for part in value if isinstance(value, tuple) else (value,):
                yield from (rank + field.metadata.get("axes", 0) for rank in _ranks(part))
