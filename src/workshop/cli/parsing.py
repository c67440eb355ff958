"""The command line, read by tyro; what a configuration refuses becomes a sentence on its option."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import tyro
from pydantic import BaseModel, ValidationError
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from workshop.generative_models.core.configuration import COMPONENT_CONFIGS, AutoencoderConfig
from workshop.generative_models.core.configuration.base import Config
from workshop.generative_models.core.configuration.networks import NetworkConfig


class _Refused(Exception):
    """A configuration that cannot be; no ValueError, which tyro would print in its own words."""

    def __init__(self, kind: type[BaseModel], error: ValidationError):
        super().__init__(str(error))
        self.kind, self.error = kind, error


def parse(
    kinds: Mapping[str, type], arguments: Sequence[str], config: BaseModel | None, about: str
) -> Any:
    """Return the options of the command that is asked for, or exit after its help.

    Args:
        kinds: classes of options, by the name of the command.
        arguments: the command line.
        config: the model's configuration whose fields are options, with its defaults, or None.
        about: the description in the help.
    """
    try:
        with reading():
            return tyro.extras.subcommand_cli_from_dict(
                dict(kinds), args=arguments, prog="workshop", description=about
            )
    except _Refused as refused:
        prefix = (None if config is None else _prefix_of(refused.kind, config)) or ""
        raise ValueError(sentences(refused.error, prefix, refused.kind)) from None


def reading() -> ConstructorRegistry:
    """Return what tyro reads options by, to be entered: its own rules, with errors of our own."""
    registry = ConstructorRegistry()
    registry.struct_rule(_rule())
    registry.primitive_rule(_value_rule())
    return registry


def sentences(error: ValidationError, prefix: str = "", kind: type[BaseModel] | None = None) -> str:
    """Return pydantic's errors as a sentence that names options, which start with `prefix`."""
    whole, by_option = [], {}
    for detail in error.errors():
        message = detail["msg"].removeprefix("Value error, ")
        # Beside the names of fields there are places in tuples, and the types of a union.
        names = [part for part in detail["loc"] if isinstance(part, str) and part.isidentifier()]
        if not names:
            whole.append(_with_options(message, prefix, kind))
        elif "after validation" not in message:  # a consequence of what was said before
            said = by_option.setdefault(_option(prefix + ".".join(names)), (detail["input"], []))
            said[1].append(message)
    told = [f"{name}={value!r}: {' or '.join(m)}" for name, (value, m) in by_option.items()]
    return "; ".join(told + whole)


def joined(error: ValidationError) -> str:
    """Return the messages of an error as one."""
    return " or ".join(dict.fromkeys(detail["msg"] for detail in error.errors()))


def _with_options(message: str, prefix: str, kind: type[BaseModel] | None) -> str:
    """Return a message with the names of options for those of fields in Python."""
    for name in () if kind is None else kind.model_fields:
        # With its value or a field of its own, or if the name is no plain word.
        end = r"\b" if "_" in name else "(?==)"
        message = re.sub(
            rf"(?<![\w.-]){name}(?:\.[a-z_]+|{end})",
            lambda found: _option(prefix + found.group()),
            message,
        )
    return message


def _option(path: str) -> str:
    return f"--{path.replace('_', '-')}"


def _rule() -> Callable[[StructTypeInfo], StructConstructorSpec | None]:
    """Return the rule that builds configurations: tyro's own, with our exception and components."""
    asked = False
    parts: dict[Any, str] = {}

    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        nonlocal asked
        kind: Any = info.type
        if asked or not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return None
        asked = True
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            asked = False
        if not isinstance(spec, StructConstructorSpec):
            return spec  # type: ignore[return-value]

        def instantiate(**fields: Any) -> Any:
            try:
                return spec.instantiate(**fields)
            except ValidationError as error:
                raise _Refused(kind, error) from None

        fields = tuple(_component(field, kind, parts) for field in spec.fields)
        return replace(spec, instantiate=instantiate, fields=fields)

    return rule


def _component(field: StructFieldSpec, of: Any, parts: dict[Any, str]) -> StructFieldSpec:
    """Return a field of a configuration `of`, with the options of the component that it holds.

    Those of a union are the options of its default's class. Where there is no component yet, there
    is only the option that chooses one. `parts` collects the fields of components by their class.
    """
    if field.name == "kind" and of in parts:
        return replace(field, type=kinds_of(parts[of]))
    if field.name in Config.model_fields and not issubclass(of, (AutoencoderConfig, NetworkConfig)):
        return replace(field, type=Annotated[field.type, tyro.conf.Suppress])  # nothing reads them
    if field.name not in COMPONENT_CONFIGS:
        return field
    if field.default is None:
        about = f"Kind of {field.name}; None is the model's own."
        option = tyro.conf.arg(name=f"{field.name}.kind", help=about)
        return replace(field, type=Annotated[kinds_of(field.name) | None, option])
    parts[type(field.default)] = field.name
    return replace(field, type=type(field.default))


def kinds_of(component: str) -> Any:
    """Return the type of an option that chooses a component, a key of `COMPONENT_CONFIGS`."""
    return Literal[tuple(COMPONENT_CONFIGS[component])]


def _value_rule() -> Callable[[PrimitiveTypeInfo], PrimitiveConstructorSpec[Any] | None]:
    """Return the rule that reads values: tyro's own, with errors in the notation of the help."""
    asked = False

    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        nonlocal asked
        if asked:
            return None
        asked = True
        try:
            spec = ConstructorRegistry.get_primitive_spec(info)
        finally:
            asked = False
        if not isinstance(spec, PrimitiveConstructorSpec):
            return None

        def read(words: list[str]) -> Any:
            try:
                return spec.instance_from_str(words)
            except (TypeError, ValueError):
                given = shlex.join(words)
                raise ValueError(f"expected {spec.metavar}, got {given}") from None

        return replace(spec, instance_from_str=read)

    return rule


def _prefix_of(kind: type[BaseModel], config: BaseModel, at: str = "") -> str | None:
    """Return the prefix of the options of a class of configuration within another one."""
    if type(config) is kind:
        return at
    for name in type(config).model_fields:
        value = getattr(config, name)
        found = _prefix_of(kind, value, f"{at}{name}.") if isinstance(value, BaseModel) else None
        if found is not None:
            return found
    return None
