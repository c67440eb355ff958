"""The interface of every model."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from workshop.generative_models.core.arrays import read_data
from workshop.generative_models.core.configuration import Config
from workshop.generative_models.core.metrics import NONE, Metric
from workshop.generative_models.core.moments import Moments
from workshop.generative_models.core.pickling import Picklable


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

    def forward(self, batch: Any, rng: jax.Array) -> dict[str, Any]:  # noqa: ARG002
        """Return what `loss_fn(batch=batch, rng=rng)` computes its losses from; default: nothing.

        The error for a loss that is not finite names the first of these arrays that is not finite.
        """
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
        """Return examples as this model reads them; default: `core.arrays.read_data`."""
        return read_data(name, x)

    def check_data(self, x: Any, y: Any = None) -> None:
        """Raise a ValueError for data that this model cannot be trained on."""

    def update_statistics(self, statistics: Any) -> None:
        """Fold `losses["statistics"]` into the state that gradients do not train; default: none."""

    def with_params(self, params: Any) -> "GenerativeModel":
        """Return a copy of this model with other parameters, sharing nothing that can be written.

        They are an `nnx.State` as `nnx.state(model, nnx.Param)` gives it, or its pure dict.
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
