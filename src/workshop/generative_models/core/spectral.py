"""Spectral normalisation of the layers of a network."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

_START_STEPS = 50
"""Steps of the power iteration at construction."""


class SpectralNorm(nnx.Module):
    """A layer whose kernel W is divided by its largest singular value σ(W) in every call.

    σ is estimated by power iteration, of which each call takes one step from the vector that the
    last call in training mode left. A convolution's kernel is read as the matrix of all its inputs
    to its outputs, as in the paper. (`nnx.SpectralNorm` writes the quotient into the layer.)

    Args:
        layer: a layer with a `kernel`, whose last axis is that of the outputs.

    References:
        Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018,
        algorithm 1.

    Examples:
        >>> layer = SpectralNorm(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
        >>> gains = jnp.linalg.norm(layer(jnp.eye(3)), 2)
        >>> round(float(gains), 3)
        1.0
    """

    def __init__(self, layer: Any):
        self.layer = layer
        self.u = nnx.BatchStat(_started(layer.kernel[...]))
        self.use_running_average = True  # what train() and eval() set

    @property
    def bias(self) -> Any:
        """The bias of the layer."""
        return self.layer.bias

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        """Return what the layer gives with its normalised kernel."""
        kernel = self.layer.kernel[...]
        left, right = _step(jax.lax.stop_gradient(_matrix(kernel)), self.u[...])
        if not self.use_running_average:
            self.u[...] = right
        sigma = left @ _matrix(kernel) @ right
        layer = nnx.clone(self.layer)  # so that the kernel itself stays as it is
        layer.kernel[...] = kernel * (1 / sigma)  # a division of every entry is slower
        return layer(*args, **kwargs)


def spectrally_normalised(network: nnx.Module) -> nnx.Module:
    """Return a copy of a network with a `SpectralNorm` around each of its layers with a kernel.

    Raises:
        ValueError: if it has none.
    """
    network = nnx.clone(network)
    wrapped: dict[int, SpectralNorm] = {}
    for _, module in list(nnx.iter_modules(network)):
        for name, child in list(vars(module).items()):
            if isinstance(child, nnx.Module) and isinstance(
                getattr(child, "kernel", None), nnx.Param
            ):
                if id(child) not in wrapped:  # a layer that is used twice is normalised once
                    wrapped[id(child)] = SpectralNorm(child)
                setattr(module, name, wrapped[id(child)])
    if not wrapped:
        raise ValueError(
            f"{type(network).__name__} has no layer with a kernel to normalise spectrally"
        )
    return network


def _matrix(kernel: jax.Array) -> jax.Array:
    return kernel.reshape(-1, kernel.shape[-1])


def _step(matrix: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return estimates of the first singular vectors, given one of the right."""
    left = _unit(matrix @ right)
    return left, _unit(left @ matrix)


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)


@jax.jit
def _started(kernel: jax.Array) -> jax.Array:
    matrix = _matrix(kernel)
    start = _unit(jax.random.normal(jax.random.key(0), matrix.shape[1:], matrix.dtype))
    return jax.lax.fori_loop(0, _START_STEPS, lambda _, right: _step(matrix, right)[1], start)
