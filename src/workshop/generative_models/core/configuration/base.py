"""The base class of all configurations."""

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Base class of all configurations: frozen, keyword-only, without unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    name: str | None = None
    """Name, not read by models."""
    description: str | None = None
    """Description, not read by models."""


def by_kind(union: Any) -> dict[str, Any]:
    """Return the members of a union of configurations by their `kind`.

    Args:
        union: configurations whose field `kind` is a `Literal` of one name with that default.
    """
    return {member.model_fields["kind"].default: member for member in get_args(union)}
