"""The base class of all configurations."""

from collections.abc import Mapping
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError


class Config(BaseModel):
    """Base class of all configurations: frozen, keyword-only, without unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    name: str | None = None
    """A name of your own."""
    description: str | None = None
    """A note of your own."""

    argument_names: ClassVar[Mapping[str, str]] = {}
    """Explicit arguments by the fields that go by another name."""

    def restated(self, given: Mapping[str, Any]) -> "Config | None":
        """Return this configuration with explicit arguments in it; None if it cannot say one."""
        fields = {argument: field for field, argument in self.argument_names.items()}
        changes = {fields.get(name, name): value for name, value in given.items()}
        if not changes.keys() <= type(self).model_fields.keys():
            return None
        try:
            return type(self).model_validate(dict(self) | changes)
        except ValidationError:
            return None


def arguments_of(config: Config, drop: tuple[str, ...] = ()) -> dict:
    """Return the fields of a configuration by the names of the explicit arguments."""
    fields = [f for f in type(config).model_fields if f not in ("name", "description", *drop)]
    return {config.argument_names.get(field, field): getattr(config, field) for field in fields}


def by_kind(union: Any) -> dict[str, Any]:
    """Return the members of a union of configurations by their `kind`.

    Args:
        union: configurations whose field `kind` is a `Literal` of one name with that default.
    """
    return {member.model_fields["kind"].default: member for member in get_args(union)}
