"""A function as a program of few and plain primitives, for converters that know no others."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal  # pyright: ignore[reportPrivateImportUsage]

_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call")
"""Primitives that only call another program; what they say of derivatives is not needed."""


def simplified(function: Callable[..., Any], inputs: Sequence[jax.ShapeDtypeStruct]) -> ClosedJaxpr:
    """Trace a function, and leave out what nothing reads.

    Called programs are written out; what depends on the platform has its form for the CPU, which
    for convolutions is one of products, sums and plain convolutions (`core.convolution_forms`);
    padding is by concatenation and slices, and a remainder of integers by a division. The sizes of
    inputs may be symbols of `jax.export`.

    Examples:
        >>> program = simplified(lambda x: jnp.pad(jax.nn.relu(x), 1),
        ...                      [jax.ShapeDtypeStruct((2,), jnp.float32)])
        >>> sorted({equation.primitive.name for equation in program.jaxpr.eqns})
        ['broadcast_in_dim', 'concatenate', 'max']
    """
    traced = jax.make_jaxpr(function)(*inputs)
    return jax.make_jaxpr(lambda *values: _run(traced, values))(*inputs)


def _run(program: ClosedJaxpr, values: Sequence[Any]) -> list[Any]:
    jaxpr = program.jaxpr
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *values], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    for equation in _needed(jaxpr):
        found = _equation(jaxpr, equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _needed(jaxpr: Any) -> list[Any]:
    """Return the equations that something reads, in their order."""
    wanted = {atom for atom in jaxpr.outvars if not isinstance(atom, Literal)}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if wanted.intersection(equation.outvars):
            kept.append(equation)
            wanted.update(atom for atom in equation.invars if not isinstance(atom, Literal))
    return kept[::-1]


def _equation(jaxpr: Any, equation: Any, values: list[Any]) -> Sequence[Any]:
    name, params = equation.primitive.name, equation.params
    if name == "platform_index":
        return [np.int32(0)]  # the choice below does not read it
    if params.get("branches_platforms"):
        platforms = params["branches_platforms"]
        chosen = next(i for i, names in enumerate(platforms) if names is None or "cpu" in names)
        return _run(params["branches"][chosen], values[1:])
    if name in _CALLS:
        return _run(params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"], values)
    if name == "pad" and not any(inner for _, _, inner in params["padding_config"]):
        return [_padded(values[0], values[1], params["padding_config"])]
    if name == "rem" and np.issubdtype(equation.outvars[0].aval.dtype, np.integer):
        return [values[0] - lax.div(values[0], values[1]) * values[1]]
    # As a program of this one equation: how a primitive is bound differs between JAX's releases.
    inputs = [atom for atom in equation.invars if not isinstance(atom, Literal)]
    alone = jaxpr.replace(
        constvars=[],
        invars=inputs,
        outvars=equation.outvars,
        eqns=[equation],
        effects=equation.effects,
        debug_info=jaxpr.debug_info.with_unknown_names(),
    )
    atoms = zip(values, equation.invars, strict=True)
    given = [value for value, atom in atoms if not isinstance(atom, Literal)]
    return jax.extend.core.jaxpr_as_fun(ClosedJaxpr(alone, []))(*given)


def _padded(x: Any, value: Any, config: Sequence[tuple[Any, Any, Any]]) -> jax.Array:
    """Return x with so much of a value before and after each axis; negative numbers crop."""
    for axis, (low, high, _) in enumerate(config):
        if min(low, high) < 0:
            end = x.shape[axis] - max(-high, 0)
            x = lax.slice_in_dim(x, max(-low, 0), end, axis=axis)

        def edge(size: Any, x: Any = x, axis: int = axis) -> list[jax.Array]:
            shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
            return [jnp.broadcast_to(value, shape)] if size > 0 else []

        x = lax.concatenate([*edge(low), x, *edge(high)], axis) if max(low, high) > 0 else x
    return x
