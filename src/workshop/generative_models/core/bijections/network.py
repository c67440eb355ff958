"""The networks that give bijections their parameters."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from workshop.generative_models.core.bijections.base import (
    MATRIX,
    STATIC,
    VECTOR,
    Leaf,
)
from workshop.generative_models.core.pickling import Picklable
from workshop.generative_models.core.typing import DTypeLike, Precision


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A perceptron of one vector as a pytree, with a context added to its first hidden layer.

    Args:
        kernels: (inputs, outputs) of each layer.
        biases: (outputs,) of each layer.
        context: (hidden,) or None.
        activation: name of a function of `jax.nn`, between layers.
        dtype: type to compute in; the output is float32.
        precision: precision of the products.
    """

    kernels: tuple[Leaf, ...] = dataclasses.field(metadata=MATRIX)
    biases: tuple[Leaf, ...] = dataclasses.field(metadata=VECTOR)
    context: Leaf | None = dataclasses.field(metadata=VECTOR)
    activation: str = dataclasses.field(metadata=STATIC)
    dtype: Any = dataclasses.field(metadata=STATIC)
    precision: Any = dataclasses.field(metadata=STATIC)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the output for one vector."""
        dtype = x.dtype if self.dtype is None else self.dtype
        result_type, activation = x.dtype, getattr(jax.nn, self.activation)
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            product = jnp.dot(x.astype(dtype), kernel.astype(dtype), precision=self.precision)
            x = product + bias.astype(dtype)
            if i == 0 and self.context is not None:
                x += self.context.astype(dtype)
            if i < len(self.kernels) - 1:
                x = activation(x)
        return x.astype(result_type)


class Conditioner(Picklable, nnx.Module):
    """The trained weights of a `Network` for each step of a flow.

    Those of the last layer begin at 0, so that a flow begins at a map without interactions.

    Args:
        steps: number of networks.
        sizes: of the input, the hidden layers, and the output.
        activation: name of a function of `jax.nn`, between layers.
        rngs: for the initial weights.
    """

    def __init__(self, steps: int, sizes: Sequence[int], activation: str, *, rngs: nnx.Rngs):
        self.steps, self.sizes, self.activation = steps, tuple(sizes), activation
        self.dtype: DTypeLike | None = None
        self.precision: Precision = None
        *hidden, last = pairwise(self.sizes)
        # As the layers of Flax: variance 1 / inputs, of which there may be none.
        kernels = [
            jax.random.normal(rngs.params(), (steps, *shape)) / max(1, shape[0]) ** 0.5
            for shape in hidden
        ]
        kernels.append(jnp.zeros((steps, *last)))
        self.kernels = nnx.List(nnx.Param(kernel) for kernel in kernels)
        self.biases = nnx.List(nnx.Param(jnp.zeros((steps, size))) for size in self.sizes[1:])

    def networks(self, context: jax.Array | None = None) -> Network:
        """Return the networks, their arrays with an axis of the steps.

        All are given one context of the first hidden layer, (*batch, hidden), if any.
        """
        if context is not None:
            shape = (*context.shape[:-1], self.steps, context.shape[-1])
            context = jnp.broadcast_to(context[..., None, :], shape)
        kernels = self._masked([kernel[...] for kernel in self.kernels])
        biases = tuple(bias[...] for bias in self.biases)
        numerics = self.activation, self.dtype, self.precision
        return Network(tuple(kernels), biases, context, *numerics)

    def _masked(self, kernels: list[jax.Array]) -> list[jax.Array]:
        return kernels


class MADE(Conditioner):
    """Weights with masks, so that output i depends on inputs 1 to i - 1 and on the context only.

    Units of a hidden layer have degrees 0 (the context alone) to event - 1 in turn; a unit reads
    units and inputs of degrees up to its own, an output those below its own.

    Args:
        steps: number of networks.
        event: number of inputs.
        hidden_dims: widths of the hidden layers.
        outputs: number of outputs of each input; the network returns (event * outputs,).
        activation: name of a function of `jax.nn`, between layers.
        rngs: for the initial weights.

    References:
        Germain et al., MADE: Masked Autoencoder for Distribution Estimation, ICML 2015;
        `masked_autoregressive.py` of danielward27/flowjax (degrees of networks with a context).
    """

    def __init__(
        self,
        steps: int,
        event: int,
        hidden_dims: Sequence[int],
        outputs: int,
        activation: str,
        *,
        rngs: nnx.Rngs,
    ):
        sizes = [event, *hidden_dims, event * outputs]
        super().__init__(steps, sizes, activation, rngs=rngs)
        self.event = event

    def _masked(self, kernels: list[jax.Array]) -> list[jax.Array]:
        inputs = np.arange(1, self.event + 1)
        hidden = [np.arange(size) % self.event for size in self.sizes[1:-1]]
        outputs = np.repeat(inputs, self.sizes[-1] // self.event)
        layers = [inputs, *hidden]
        masks = [reads[:, None] <= unit for reads, unit in pairwise(layers)]
        masks.append(layers[-1][:, None] < outputs)
        return [jnp.where(mask, k, 0.0) for mask, k in zip(masks, kernels, strict=True)]
