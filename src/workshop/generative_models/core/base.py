"""The interface of every model, and how a model is built, copied and given random keys."""

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import jax
import jax.core
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from flax.errors import TraceContextError

from workshop.generative_models.core import checks
from workshop.generative_models.core.arrays import check_finite as check_finite
from workshop.generative_models.core.arrays import is_concrete as is_concrete
from workshop.generative_models.core.arrays import read_data
from workshop.generative_models.core.configuration import Config
from workshop.generative_models.core.metrics import NONE, Metric
from workshop.generative_models.core.moments import Moments
from workshop.generative_models.core.pickling import Picklable

_TOP_LEVEL = jax.extend.core.get_opaque_trace_state(convention="nnx")


def accepts_config(init: Callable[..., None]) -> Callable[..., Any]:
    """Let a constructor also take a configuration, first or as `config=`.

    The class says in `explicit_arguments(config, rngs)` what a configuration stands for; arguments
    given beside the configuration win over it, None standing for not given. The instance keeps the
    configuration, with those arguments in it, as `config`.
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
        explicit = self.explicit_arguments(config, kwargs.get("rngs"))
        # None stands for not given, but a name that does not exist is an error all the same.
        given = {n: value for n, value in kwargs.items() if value is not None or n not in explicit}
        init(self, *args, **(explicit | given))
        beside = _as_json({name: value for name, value in given.items() if value is not None})
        self.config = config.restated(beside) if beside else config

    return build


def _as_json(given: dict[str, Any]) -> dict[str, Any]:
    """Return arguments other than rngs, types and precisions by the names that configs use."""
    given = {name: value for name, value in given.items() if name != "rngs"}
    if "dtype" in given:
        given["dtype"] = jnp.dtype(given["dtype"]).name
    if isinstance(given.get("precision"), jax.lax.Precision):
        given["precision"] = given["precision"].name.lower()
    return given


class GenerativeModel(Picklable, nnx.Module):
    """What every model offers: a forward pass, a loss, and generation.

    The trainer knows a model only through `batch_keys`, `metrics`, `read_examples`, `check_data`,
    `loss_fn`, `critic_optimizer`, `forward`, `build`, `initialize` and `update_statistics`.
    """

    config: Config | None = None
    batch_keys: tuple[str, ...] = ("x", "y")
    """The keys that a batch may have; any other one is an error."""
    metrics: Mapping[str, Metric] = NONE
    """Descriptions of the model's own metrics, which come before those of `core.metrics`."""

    def __call__(self, x: jax.Array, *, rngs: nnx.Rngs | None = None) -> dict[str, Any]:
        """Run the model on a batch."""
        raise NotImplementedError

    def loss_fn(
        self, params: Any = None, batch: Any = None, rng: jax.Array | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the losses of a batch; `total_loss` is the one to minimise.

        A model with a critic (`core.critics`) also returns `critic_loss`, which trains the critic's
        parameters alone.

        Args:
            params: parameters to use in place of the model's own.
            batch: the arrays that `batch_keys` names, with the examples along the first axis.
            rng: random key of the forward pass.
            kwargs: what the trainer passes beside them, traced: `step`, the training step, or None
                at evaluation; and `num_examples`, the size of the training set, in training and at
                evaluation alike, or None if nothing was trained. A model that needs no
                `num_examples` need not accept it.
        """
        raise NotImplementedError

    def build(self, batch: Any) -> None:
        """Make the layers that waited for the shape of the data; default: none do."""

    def initialize(self, moments: Moments) -> None:
        """Set the variables whose initial values depend on the training data; default: none do.

        The trainer calls it before the first step of a run, on a copy of the model; a run that
        resumes then gets the values of its checkpoint. A model may have been trained or loaded
        before: set only what still has the value that its constructor gave it. Shapes and Python
        attributes must not change.

        Args:
            moments: mean and spread of each feature of the training data, as the model reads it.
        """

    def forward(self, batch: Any, rng: jax.Array) -> dict[str, Any]:
        """Return what `loss_fn(batch=batch, rng=rng)` computes its losses from; default: nothing.

        The error for a loss that is not finite names the first of these arrays that is not finite.
        """
        del batch, rng
        return {}

    def critic_optimizer(self) -> optax.GradientTransformation | None:
        """Return the optimizer of the parameters of type `CriticParam`; None: the trainer's own."""
        return None

    def generate(
        self, n_samples: int = 1, *, rngs: nnx.Rngs | None = None, **kwargs: Any
    ) -> jax.Array:
        """Draw samples."""
        raise NotImplementedError

    def read_examples(self, name: str, x: Any) -> Any:
        """Return examples as this model reads them; default: uint8 for bytes, or float32.

        Args:
            name: the argument, for errors.
            x: what somebody passed; see `core.arrays.read_data`.
        """
        return read_data(name, x)

    def check_data(self, x: Any, y: Any = None) -> None:
        """Raise a ValueError for data that this model cannot be trained on."""

    def update_statistics(self, statistics: Any) -> None:
        """Fold `losses["statistics"]` into the state that gradients do not train; default: none."""

    def with_params(self, params: Any) -> "GenerativeModel":
        """Return a copy of this model with other parameters, sharing nothing that can be written.

        Args:
            params: an `nnx.State` as `nnx.state(model, nnx.Param)` gives it, or its pure dict.
        """
        graphdef, own, rest = nnx.split(self, nnx.Param, ...)
        given = nnx.to_pure_dict(params) if isinstance(params, nnx.State) else params
        shapes = [jax.tree.map(np.shape, tree) for tree in (nnx.to_pure_dict(own), given)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "params do not fit this model: pass nnx.state(model, nnx.Param), or its pure dict"
            )
        if not isinstance(params, nnx.State):
            nnx.replace_by_pure_dict(own, params)
            params = own
        return nnx.merge(graphdef, params, rest, copy=True)


_drawing = threading.Lock()


def sample_key(rngs: nnx.Rngs | None, own: nnx.Rngs | None = None) -> jax.Array:
    """Return the next key for sampling: of `rngs`, or of the model's `own` streams.

    The stream is `sample` if there is one, else the default stream, else `params`. Threads that
    share streams never receive the same key.

    Raises:
        TypeError: if `rngs` is no `nnx.Rngs`.
        ValueError: if there is no stream, or it cannot advance because a transformation such as
            `jax.jit` is tracing a function that the stream is no argument of.
    """
    streams = rngs if rngs is not None else own
    if streams is None:
        raise ValueError("rngs=None: this model has no random streams of its own; pass rngs")
    if not isinstance(streams, nnx.Rngs):
        raise TypeError(
            f"rngs is of type {type(streams).__name__}: expected an nnx.Rngs, such as "
            "nnx.Rngs(0), or nnx.Rngs(key) of a random key"
        )
    for name in ("sample", "default", "params"):
        if name in streams:
            break
    else:
        raise ValueError("rngs has none of the streams 'sample', 'default', 'params'")
    try:
        with _drawing:  # reading the counter and advancing it must be one step
            return streams[name]()
    except TraceContextError:
        whose = "rngs=None: the model's own random stream" if rngs is None else "rngs: the stream"
        raise ValueError(
            f"{whose} cannot advance inside jax.jit, jax.vmap or jax.grad. Make rngs from a key "
            "that is an argument of the function, as in jax.jit(lambda x, key: "
            "model.reconstruct(x, rngs=nnx.Rngs(key))), or pass rng=key to loss_fn; nnx.jit with "
            "the model as an argument also works"
        ) from None


METHOD_KEYWORDS = ("deterministic", "observation_noise", "range_vals", "steps", "temperature", "y")
"""Keywords of models' methods: a misspelt one reaches the networks as a condition."""


def call(
    module: Callable[..., Any], x: jax.Array, *, rngs: nnx.Rngs | None, **condition: Any
) -> Any:
    """Call a network, with `rngs` if it can take them, and with every condition.

    Raises:
        TypeError: for a condition that the network does not take.
        ValueError: if the network would change its state inside a transformation.
    """
    names = inspect.signature(module).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in names.values())
    if takes_any:
        condition = {"rngs": rngs, **condition}
    elif unknown := [name for name in condition if name not in names]:
        raise TypeError(
            f"{type(module).__name__} got an unexpected keyword argument {unknown[0]!r}"
            f"{_way_out(unknown[0], [*names, *METHOD_KEYWORDS])}"
        )
    elif "rngs" in names:
        condition = {"rngs": rngs, **condition}
    try:
        return module(x, **condition)
    except TraceContextError as error:
        raise ValueError(
            f"{type(module).__name__} changes its state in training mode, such as batch statistics "
            "or dropout's random stream, and cannot inside jax.jit, jax.vmap or jax.grad: call "
            "model.eval() first, or use nnx.jit with the model as an argument"
        ) from error


def _way_out(name: str, known: list[str]) -> str:
    if name in ("y", "condition"):
        return "; this model reads no class: leave it out, or use a ConditionalVAE"
    return "" if name in known else checks.nearest(name, known)


_said: WeakKeyDictionary[nnx.Module, set[str]] = WeakKeyDictionary()


def warn_once(model: nnx.Module, message: str, *arguments: Any) -> None:
    """Log a warning about a model, unless it was logged before about this model.

    Args:
        model: whom it concerns.
        message: the text, with the logger's placeholders; it is what is said once.
        arguments: for the placeholders.
    """
    said = _said.setdefault(model, set())
    if message not in said:
        said.add(message)
        logging.getLogger("workshop").warning(message, *arguments)


def in_evaluation_mode(model: Any) -> Any:
    """Return a copy of a model in evaluation mode; the model and its mode stay as they are."""
    copy = nnx.clone(model)
    copy.eval()
    _said[copy] = _said.setdefault(model, set())  # to a reader they are one model
    return copy


def inside_transformation() -> bool:
    """Say whether a transformation such as jit or grad is tracing at this moment."""
    return jax.extend.core.get_opaque_trace_state(convention="nnx") != _TOP_LEVEL


def set_numerics(module: nnx.Module, *, dtype: Any = None, precision: Any = None) -> None:
    """Set the type to compute in, and the precision of products, of every layer of a module."""
    chosen = {"dtype": dtype, "precision": precision}
    for _, layer in nnx.iter_modules(module):
        for name, value in chosen.items():
            if value is not None and hasattr(layer, name):
                setattr(layer, name, value)


def check_keys(name: str, batch: dict[Any, Any], known: tuple[str, ...]) -> None:
    """Raise a ValueError for a dict that lacks "x" or has keys that nothing reads."""
    if "x" not in batch or any(key not in known for key in batch):
        *others, last = [repr(key) for key in known if key != "x"] or [""]
        rest = f", and perhaps {', '.join(others)}{' or ' if others else ''}{last}" if last else ""
        raise ValueError(
            f"{name} has the keys {sorted(map(str, batch))}: expected 'x'{rest}; no other key is "
            "read"
        )
