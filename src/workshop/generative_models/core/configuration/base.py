"""The base class of all configurations."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, WrapValidator

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
"""Widths of the hidden layers of a component's network."""


class Frozen(BaseModel):
    """Frozen, keyword-only options without unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Config(Frozen):
    """Base class of all configurations."""

    name: str | None = None
    """Name, not read by models."""
    description: str | None = None
    """Description, not read by models."""


def by_kind(union: Any) -> dict[str, Any]:
    """Return the members of a union of configurations by the default of their `kind`."""
    return {member.model_fields["kind"].default: member for member in get_args(union)}


def registered(union: Any, configs: Mapping[str, type[Config]]) -> WrapValidator:
    """Return a validator of a union's field that also takes what was added to `configs`."""
    own = get_args(union)

    def validate(value: Any, handler: Any) -> Any:
        kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
        found = configs.get(kind) if isinstance(kind, str) else None
        if found is None or found in own:
            return handler(value)
        return found.model_validate(value)

    return WrapValidator(validate)
