"""The run-time type checker of the tests: an int will do where a float is asked for (PEP 484)."""

import functools
from collections.abc import Callable
from types import CodeType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_local_functions_once() -> None:
    """Let jaxtyping's import hook check a function inside a function where it is first defined.

    It would be decorated anew at every call of the outer function, which takes milliseconds: a
    seventh of the suite's time.
    """
    jaxtyped: Any = jaxtyping.jaxtyped
    seen: set[CodeType] = set()

    @functools.wraps(jaxtyped)
    def once(**options: Any) -> Callable[[Any], Any]:
        decorate = jaxtyped(**options)

        def decorated(function: Any) -> Any:
            code = getattr(function, "__code__", None)
            if code is None or "<locals>" not in function.__qualname__:
                return decorate(function)
            if code in seen:
                return function
            seen.add(code)
            return decorate(function)

        return decorated

    jaxtyping.jaxtyped = once
