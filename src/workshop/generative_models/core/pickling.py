"""Pickles and deep copies of modules.

Modules hold functions such as `jax.nn.relu`. One that `jax.jit` or `jax.custom_jvp` made cannot be
pickled by the standard pickler, and its deep copy is another function: the copy of a model would
compile everything anew.
"""

import pickle
import sys
from io import BytesIO
from operator import attrgetter
from typing import Any

from flax import nnx


class Picklable:
    """Mixin of modules that can be pickled and deep-copied, and share functions with copies."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Return the module as bytes, and the function that reads them."""
        file = BytesIO()
        _Pickler(file, protocol).dump(self)
        return _unpickled, (file.getvalue(),)

    def __copy__(self) -> Any:
        """Return a shallow copy, which shares all variables; `pickle` would copy them."""
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        return copy

    def __deepcopy__(self, memo: Any = None) -> Any:
        """Return a copy with variables of its own, and the same functions."""
        return nnx.clone(self)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Picklable):  # one pickle for all parts, which may share variables
            return object.__reduce_ex__(obj, 4)
        return obj.__qualname__ if _has_a_name(obj) else NotImplemented


def _has_a_name(obj: Any) -> bool:
    """Say whether an object is a function that its module holds by its own name."""
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not callable(obj) or not isinstance(name, str) or module not in sys.modules:
        return False
    try:
        return attrgetter(name)(sys.modules[module]) is obj
    except AttributeError:
        return False


def _unpickled(data: bytes) -> Any:
    # Called by a pickler only, which could as well run whatever this could.
    return pickle.loads(data)
