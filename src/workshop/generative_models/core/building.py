"""Construction from explicit arguments or from a configuration."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from pydantic import ValidationError

from workshop.generative_models.core.configuration import Config, NetworkConfig

FIELDS = {"input_dim": "input_shape", "output_dim": "output_shape"}
"""Fields by the argument that they stand for, where the two have different names."""
_NO_ARGUMENTS = ("name", "description", "kind", "encoder_type")
"""Fields that are no argument: notes, and those that choose a class."""
_NUMERICS = ("dtype", "precision")
"""Arguments of a model that its configuration has in encoder and decoder."""
AnyConfig = TypeVar("AnyConfig", bound=Config)


def accepts_config(init: Callable[..., None]) -> Callable[..., Any]:
    """Let a constructor also take a configuration, first or as `config=`.

    The arguments are those of `explicit_arguments(config, rngs)` of the class if there is one, else
    the fields. Arguments beside the configuration come first; None means not given.
    """

    @functools.wraps(init)
    def build(self: Any, *args: Any, config: Config | None = None, **kwargs: Any) -> None:
        if config is None and args and isinstance(args[0], Config):
            config, args = args[0], args[1:]
        if config is None:
            init(self, *args, **kwargs)
            return
        if not isinstance(config, self.config_class):
            raise ValueError(
                f"{type(self).__name__}(config={type(config).__name__}): expected a "
                f"{self.config_class.__name__}"
            )
        expand = getattr(self, "explicit_arguments", None)
        explicit = expand(config, kwargs.get("rngs")) if expand else arguments_of(config)
        # None means not given, but a name that does not exist is an error all the same.
        given = {n: value for n, value in kwargs.items() if value is not None or n not in explicit}
        init(self, *args, **(explicit | given))
        beside = {n: value for n, value in given.items() if value is not None and n != "rngs"}
        self.config = restated(config, beside)

    return build


def arguments_of(config: Config) -> dict[str, Any]:
    """Return the fields of a configuration by the names of the explicit arguments."""
    arguments = {field: argument for argument, field in FIELDS.items()}
    return {arguments.get(f, f): value for f, value in config if f not in _NO_ARGUMENTS}


def restated(config: AnyConfig, given: Mapping[str, Any]) -> AnyConfig | None:
    """Return a configuration with arguments in it, or None if it cannot describe them."""
    if not given:
        return config
    fields = type(config).model_fields
    changes = {FIELDS.get(name, name): value for name, value in given.items()}
    if "dtype" in changes:
        changes["dtype"] = jnp.dtype(changes["dtype"]).name
    if isinstance(changes.get("precision"), jax.lax.Precision):
        changes["precision"] = changes["precision"].name.lower()
    numerics = {n: changes.pop(n) for n in _NUMERICS if n in changes and n not in fields}
    networks = {n: part for n, part in config if isinstance(part, NetworkConfig)}
    if not changes.keys() <= fields.keys() or (numerics and not networks):
        return None
    parts = {n: restated(part, numerics) for n, part in networks.items()} if numerics else {}
    try:
        return type(config).model_validate(dict(config) | parts | changes)
    except ValidationError:
        return None


def undescribed(model: Any, config: Config, parts: tuple[str, ...]) -> str | None:
    """Return the first of a model's parts that its configuration would build otherwise."""
    built: Any = nnx.eval_shape(lambda: type(model)(config, rngs=nnx.Rngs(0)))
    for part in parts:
        if nnx.graphdef(getattr(built, part)) != nnx.graphdef(getattr(model, part)):
            return part
    return None
