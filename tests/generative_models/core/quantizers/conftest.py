"""Settings of the tests of quantizers."""

import functools
from collections.abc import Iterator

import jax
import pytest
from flax import nnx

collect_ignore = ["peer_values.py"]  # for the peer's environment


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly() -> Iterator[None]:
    """Spend no time on optimising programs that run once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@functools.partial(jax.jit, static_argnames="graph")
def _quantize(graph, state, z_e, mask, key):
    return nnx.merge(graph, state).quantize(z_e, mask=mask, key=key)


@functools.partial(jax.jit, static_argnames="graph")
def _lookup(graph, state, indices):
    return nnx.merge(graph, state).lookup(indices)


@pytest.fixture(scope="session")
def quantize():
    """`quantizer.quantize` as one program: operation by operation it would be dozens."""
    return lambda quantizer, z_e, mask=None, key=None: _quantize(
        *nnx.split(quantizer), z_e, mask, key
    )


@pytest.fixture(scope="session")
def lookup():
    """`quantizer.lookup` as one program."""
    return lambda quantizer, indices: _lookup(*nnx.split(quantizer), indices)
