"""The base class of all priors."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flax import nnx

from workshop.generative_models.core.distributions import (
    Distribution,
)
from workshop.generative_models.core.moments import Moments
from workshop.generative_models.core.pickling import Picklable


class Prior(Picklable, nnx.Module):
    """p(z) of one family; its parameters are trained, averaged and saved with the model's.

    A constructor may name latent_dim, event_shape (None if it is not known), num_classes (None if
    the model reads no class) and rngs, which a model passes on when it builds a prior from its
    configuration.

    Attributes:
        support: the space of z: "real", "sphere" or "ball"; the posterior must have the same.
        factorises: whether latents are independent, as an objective with free bits needs.
        needs_log_prob: whether it reads log q(z|x) of any z, which some posteriors do not know.
        needs_classes: whether it is one of models that read a class.
    """

    support: ClassVar[str] = "real"
    factorises: ClassVar[bool] = False
    needs_log_prob: ClassVar[bool] = False
    needs_classes: ClassVar[bool] = False

    def initialize(self, moments: Moments) -> None:
        """Set what depends on the training data, before the first step; default: nothing.

        Nothing may change that has been set or trained before; see `GenerativeModel.initialize`.
        """

    def __call__(self, model: Any, condition: Mapping[str, Any]) -> Distribution:
        """Return p(z), or p(z|y) with a row for each example.

        Args:
            model: the model that this is the prior of, for priors that use its encoder.
            condition: what a conditional model reads besides the data, {"y": ...}; else empty.
        """
        raise NotImplementedError
