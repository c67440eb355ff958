"""Kullback-Leibler divergences, dispatched on the types of both distributions."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from workshop.generative_models.core.distributions.base import Distribution, widened
from workshop.generative_models.core.distributions.diagonal_normal import DiagonalNormal
from workshop.generative_models.core.distributions.standard_normal import StandardNormal
from workshop.generative_models.core.gaussian import kl_between, kl_to_standard_normal

_CLOSED_FORMS: dict[tuple[type[Distribution], type[Distribution]], Callable[..., Any]] = {}

Function = TypeVar("Function", bound=Callable[..., Any])


def kl(q: Distribution, p: Distribution) -> jax.Array | None:
    """Return KL(q ‖ p) in closed form, in nats, or None if no closed form is registered.

    KL(q ‖ p) = E_q[log q(z) - log p(z)]

    A pair of types without a closed form uses that of their base classes: those of p first, then
    those of q, each in the method resolution order.

    Args:
        q: the distribution that the expectation is taken over.
        p: the other one; its batch axes broadcast against those of q.

    Returns:
        [*batch, event] if both distributions factorise, else [*batch].

    Raises:
        ValueError: if one of them has no density, or the shapes do not fit.

    Example:
        >>> kl(DiagonalNormal(jnp.ones((8, 2)), jnp.zeros((8, 2))), StandardNormal(2)).shape
        (8, 2)
    """
    for distribution in (q, p):
        distribution.require_density("kl")
    _check_shapes(q, p)
    for q_type in type(q).__mro__:
        for p_type in type(p).__mro__:
            if closed_form := _CLOSED_FORMS.get((q_type, p_type)):
                return closed_form(q, p)
    return None


def register_kl(
    q_type: type[Distribution], p_type: type[Distribution]
) -> Callable[[Function], Function]:
    """Decorate a function of (q, p) that `kl` calls for this pair of types and their subclasses.

    A subclass whose density differs from that of its base class registers a function of its own,
    which may return None.

    Raises:
        ValueError: if the pair already has a function.

    Example:
        >>> class Prior(StandardNormal): ...
        >>> @register_kl(DiagonalNormal, Prior)
        ... def kl_to_prior(q, p):
        ...     return None
    """

    def register(function: Function) -> Function:
        if (q_type, p_type) in _CLOSED_FORMS:
            raise ValueError(
                f"register_kl({q_type.__name__}, {p_type.__name__}): the pair already has a "
                "closed form; register a subclass instead"
            )
        _CLOSED_FORMS[q_type, p_type] = function
        return function

    return register


def _check_shapes(q: Distribution, p: Distribution) -> None:
    shapes = [(*each.batch_shape, each.event_size) for each in (q, p)]
    try:
        fits = q.event_size == p.event_size and jnp.broadcast_shapes(*shapes) is not None
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"kl: {type(q).__name__} has shape {shapes[0]}, {type(p).__name__} has shape "
            f"{shapes[1]}: expected equal event axes (the last) and batch axes that broadcast"
        )


@register_kl(DiagonalNormal, StandardNormal)
def _(q: DiagonalNormal, p: StandardNormal) -> jax.Array:  # noqa: ARG001
    return kl_to_standard_normal(widened(q.mean), widened(q.log_var))


@register_kl(DiagonalNormal, DiagonalNormal)
def _(q: DiagonalNormal, p: DiagonalNormal) -> jax.Array:
    parameters = (widened(each) for each in (q.mean, q.log_var, p.mean, p.log_var))
    return kl_between(*jnp.broadcast_arrays(*parameters))


@register_kl(StandardNormal, StandardNormal)
def _(q: StandardNormal, p: StandardNormal) -> jax.Array:  # noqa: ARG001
    return jnp.zeros(q.event_size)
