"""Critics: networks of an adversarial objective, trained against the rest of the model."""

from typing import Any, TypeVar

import jax
from flax import nnx

Module = TypeVar("Module", bound=nnx.Module)


class CriticParam(nnx.Param):
    """A parameter of a critic, which `losses["critic_loss"]` trains and `total_loss` does not."""


def as_critic(module: Module) -> Module:
    """Turn the parameters of a module into those of a critic, in place, and return the module.

    Examples:
        >>> critic = as_critic(nnx.Linear(3, 1, rngs=nnx.Rngs(0)))
        >>> type(critic.kernel).__name__
        'CriticParam'
    """
    for _, value in nnx.iter_graph(module):
        if isinstance(value, nnx.Param):
            value.__class__ = CriticParam  # where it is, so that what is shared stays shared
    return module


def frozen(module: Module) -> Module:
    """Return a copy of a module whose parameters get no gradient.

    A model computes its `total_loss` through a frozen critic, and `critic_loss` on features that
    are stopped by `jax.lax.stop_gradient`, so that neither loss trains the other's parameters.

    Examples:
        >>> critic = as_critic(nnx.Linear(3, 1, rngs=nnx.Rngs(0)))
        >>> gradient = nnx.grad(lambda c: frozen(c)(jax.numpy.ones(3)).sum())(critic)
        >>> float(abs(gradient["kernel"][...]).max())
        0.0
    """
    graphdef, params, rest = nnx.split(module, nnx.Param, ...)
    return nnx.merge(graphdef, jax.tree.map(jax.lax.stop_gradient, params), rest, copy=True)


def has_critic(module: nnx.Module) -> bool:
    """Say whether a module has parameters of a critic."""
    return bool(nnx.to_flat_state(nnx.state(module, CriticParam)))


def parameter_groups(params: Any) -> Any:
    """Return "critic" or "model" for each parameter of a state, by its type."""

    def group(variable: Any) -> str:
        return "critic" if isinstance(variable, CriticParam) else "model"

    return jax.tree.map(group, params, is_leaf=lambda v: isinstance(v, nnx.Variable))
